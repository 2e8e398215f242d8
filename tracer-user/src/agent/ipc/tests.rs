use proptest::prelude::*;

use super::*;

fn failed(sentence: &str) -> Response {
    Response::Failed {
        sentence: sentence.to_owned(),
    }
}

/// Decodes bytes that arrive in pieces of this size. Returns the responses, and true after an error.
fn read(bytes: &[u8], piece: usize, limit: usize) -> (Vec<Response>, bool) {
    let mut frames = Frames::new(limit);
    let mut read = Vec::new();
    for piece in bytes.chunks(piece.max(1)) {
        frames.feed(piece);
        loop {
            match frames.next() {
                Ok(Some(answer)) => read.push(answer),
                Ok(None) => break,
                Err(_) => return (read, true),
            }
        }
    }
    (read, false)
}

#[test]
fn a_frame_over_the_limit_is_rejected_before_it_arrives() {
    let error = Frames::new(10).tap(&[11, 0, 0, 0]).next::<Response>();
    assert_eq!(
        error.unwrap_err().to_string(),
        "a message has 11 bytes, the limit is 10"
    );
    let error = encode(&failed(&"x".repeat(100)), 99).unwrap_err();
    assert!(error.to_string().contains("the limit is 99"), "{error}");
}

impl Frames {
    fn tap(mut self, bytes: &[u8]) -> Self {
        self.feed(bytes);
        self
    }
}

#[test]
fn every_trace_survives_encoding() {
    for (name, trace) in crate::render::sample::all() {
        let word = Request::Ended {
            n: 7,
            is_known: false,
            trace: Box::new(trace.clone()),
        };
        let mut frames = Frames::new(REQUEST_LIMIT).tap(&encode(&word, REQUEST_LIMIT).unwrap());
        let Ok(Some(Request::Ended { trace: decoded, .. })) = frames.next() else {
            panic!("{name} is decoded as another request")
        };
        assert_eq!(*decoded, trace, "{name}");
        assert!(frames.fed.is_empty());
    }
}

proptest! {
    #[test]
    fn frames_in_pieces_of_any_size_are_decoded(
        said in prop::collection::vec(".{0,40}", 0..8),
        piece in 1..100_usize,
    ) {
        let answers: Vec<Response> = said.iter().map(|it| failed(it)).collect();
        let bytes: Vec<u8> = answers
            .iter()
            .flat_map(|it| encode(it, RESPONSE_LIMIT).unwrap())
            .collect();
        prop_assert_eq!(read(&bytes, piece, RESPONSE_LIMIT), (answers, false));
    }

    #[test]
    fn garbage_is_an_error_or_incomplete_and_needs_no_more_memory_than_its_bytes(
        bytes in prop::collection::vec(any::<u8>(), 0..400),
        piece in 1..100_usize,
    ) {
        let mut frames = Frames::new(64);
        for piece in bytes.chunks(piece) {
            frames.feed(piece);
            while let Ok(Some(answer)) = frames.next::<Response>() {
                prop_assert_eq!(answer, Response::Following);
            }
            prop_assert!(frames.fed.len() <= bytes.len());
        }
        prop_assert!(read(&bytes, piece, 64).0.len() <= bytes.len());
    }

    #[test]
    fn a_valid_frame_before_garbage_is_decoded(garbage in prop::collection::vec(any::<u8>(), 0..40)) {
        let mut bytes = encode(&Response::Stored { up_to: 3 }, RESPONSE_LIMIT).unwrap().to_vec();
        bytes.extend(garbage);
        let (read, _) = read(&bytes, 1000, RESPONSE_LIMIT);
        prop_assert_eq!(read.first(), Some(&Response::Stored { up_to: 3 }));
    }
}
