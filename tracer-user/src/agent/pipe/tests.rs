use proptest::prelude::*;

use super::*;

fn failed(sentence: &str) -> Answer {
    Answer::Failed {
        sentence: sentence.to_owned(),
    }
}

/// All that comes out of those bytes, fed in pieces of that size, and whether it ended in an error.
fn read(bytes: &[u8], piece: usize, limit: usize) -> (Vec<Answer>, bool) {
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
fn a_frame_over_the_limit_is_refused_before_it_is_there() {
    let error = Frames::new(10).tap(&[11, 0, 0, 0]).next::<Answer>();
    assert_eq!(
        error.unwrap_err().to_string(),
        "11 bytes at once, and at most 10 are taken"
    );
    let error = encode(&failed(&"x".repeat(100)), 99).unwrap_err();
    assert!(error.to_string().contains("at most 99"), "{error}");
}

impl Frames {
    fn tap(mut self, bytes: &[u8]) -> Self {
        self.feed(bytes);
        self
    }
}

#[test]
fn every_trace_is_told_whole() {
    for (name, trace) in crate::render::sample::all() {
        let word = Word::Ended {
            n: 7,
            is_known: false,
            trace: Box::new(trace.clone()),
        };
        let mut frames = Frames::new(WORD_LIMIT).tap(&encode(&word, WORD_LIMIT).unwrap());
        let Ok(Some(Word::Ended { trace: told, .. })) = frames.next() else {
            panic!("{name} is another word")
        };
        assert_eq!(*told, trace, "{name}");
        assert!(frames.fed.is_empty());
    }
}

proptest! {
    #[test]
    fn however_it_is_cut_what_was_said_is_heard(
        said in prop::collection::vec(".{0,40}", 0..8),
        piece in 1..100_usize,
    ) {
        let answers: Vec<Answer> = said.iter().map(|it| failed(it)).collect();
        let bytes: Vec<u8> = answers
            .iter()
            .flat_map(|it| encode(it, ANSWER_LIMIT).unwrap())
            .collect();
        prop_assert_eq!(read(&bytes, piece, ANSWER_LIMIT), (answers, false));
    }

    #[test]
    fn garbage_is_an_error_or_waits_and_never_takes_more_than_its_bytes(
        bytes in prop::collection::vec(any::<u8>(), 0..400),
        piece in 1..100_usize,
    ) {
        let mut frames = Frames::new(64);
        for piece in bytes.chunks(piece) {
            frames.feed(piece);
            while let Ok(Some(answer)) = frames.next::<Answer>() {
                prop_assert_eq!(answer, Answer::Following);
            }
            prop_assert!(frames.fed.len() <= bytes.len());
        }
        prop_assert!(read(&bytes, piece, 64).0.len() <= bytes.len());
    }

    /// What is true is still heard before what is not.
    #[test]
    fn a_lie_after_the_truth_does_not_undo_it(garbage in prop::collection::vec(any::<u8>(), 0..40)) {
        let mut bytes = encode(&Answer::Stored { up_to: 3 }, ANSWER_LIMIT).unwrap().to_vec();
        bytes.extend(garbage);
        let (read, _) = read(&bytes, 1000, ANSWER_LIMIT);
        prop_assert_eq!(read.first(), Some(&Answer::Stored { up_to: 3 }));
    }
}
