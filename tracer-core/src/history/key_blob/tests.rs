use proptest::prelude::*;

use super::*;

fn stored(package: &str, lines: Vec<String>) -> StoredKey {
    StoredKey {
        unit: Unit::from_stored(format!("build linux/amd64 {package}")),
        key: ActionKey {
            kind: KeyKind::Build,
            package: package.into(),
            action: 3,
            id: Some("7n9vAI0scyvZgTtPohPB".to_owned()),
            lines: lines.into_iter().map(ByteString::from).collect(),
            cut: vec![1],
            has_gaps: false,
        },
        has_failed: true,
        times: ActionTimes::default(),
    }
}

fn line() -> impl Strategy<Value = String> {
    prop_oneof![
        "[a-c]{0,2}",
        "(file|import) [ab =]{0,2} [xy]{8,10}\n?",
        "packagefile [ab]=[xy]{9}\n",
        "import \"p[0-2]\"\n",
    ]
}

proptest! {
    #[test]
    fn keys_survive_being_packed(all in prop::collection::vec(prop::collection::vec(line(), 0..8), 0..6)) {
        let keys = all.into_iter().enumerate();
        let keys: Vec<StoredKey> = keys.map(|(n, lines)| stored(&format!("p{n}"), lines)).collect();
        prop_assert_eq!(unpack_keys(&pack_keys(&keys).unwrap()).unwrap(), keys);
    }

    #[test]
    fn damaged_blobs_are_refused_or_have_gaps(bytes in prop::collection::vec(any::<u8>(), 0..64)) {
        let _any = unpack_keys(&bytes);
    }
}

#[test]
fn a_line_that_is_missing_in_the_blob_is_a_gap() {
    let part = Part {
        platform: "linux/amd64".to_owned(),
        forms: "p".to_owned(),
        texts: vec!["a".into()],
        kinds: vec![KeyKind::Build],
        packages: vec!["p".into()],
        actions: vec![0],
        ids: vec![None],
        lines: vec![vec![1, 7, i64::MIN, i64::MAX]],
        ..Part::default()
    };
    let keys = unpack_keys(&blob(&part, &Part::default())).unwrap();
    assert!(keys[0].key.has_gaps && keys[0].key.lines == ["a"]);
}

fn blob(first: &Part, second: &Part) -> Vec<u8> {
    let first = packed(first).unwrap();
    let length = u32::try_from(first.len()).unwrap().to_le_bytes();
    [&length, first.as_slice(), &packed(second).unwrap()].concat()
}

#[test]
fn lists_of_different_lengths_are_refused() {
    for part in [
        Part {
            kinds: vec![KeyKind::Build],
            ..Part::default()
        },
        Part {
            forms: "n".to_owned(),
            ..Part::default()
        },
        Part {
            forms: "f".to_owned(),
            texts: vec!["a.go".into()],
            hashes: "short".to_owned(),
            ..Part::default()
        },
    ] {
        assert!(unpack_keys(&blob(&part, &Part::default())).is_err());
    }
}

#[test]
fn keys_of_packages_and_links_share_their_lines() {
    let hash = ["012345678", "abcdefghi"];
    let mut p = stored(
        "p",
        vec![
            "go1.27.3".into(),
            "import \"p\"\n".into(),
            format!("file a.go {}\n", hash[0]),
        ],
    );
    p.key.action = 1;
    let mut q = stored(
        "q",
        vec![
            "go1.27.3".into(),
            "import \"q\"\n".into(),
            format!("import p {}\n", hash[0]),
        ],
    );
    q.key.action = 2;
    let lines = [("p", hash[0]), ("q", hash[1]), ("q", hash[0])];
    let lines = lines.map(|(path, hash)| format!("packagefile {path}={hash}\n"));
    let mut link = stored("q", lines.to_vec());
    link.key.kind = KeyKind::Link;
    link.unit = Unit::from_stored("link linux/amd64 q".to_owned());
    let keys = vec![p, q, link];
    let packed = pack_keys(&keys).unwrap();
    assert_eq!(unpack_keys(&packed).unwrap(), keys);
    for key in &keys {
        let units = BTreeSet::from([key.unit.clone()]);
        let found = unpack_keys_of(&packed, &units).unwrap();
        assert_eq!(found, std::slice::from_ref(key));
    }
}
