//! Files embedded by `//go:embed`.

use std::fs;

use tests::{Module, targets_cache, toolchain};

use crate::harness::{analyze, build};

#[test]
fn embedded_files_are_found_without_symbols() {
    let module = Module::copy("tiny");
    let toolchain = toolchain("1.27");
    let cache = targets_cache(&toolchain);
    let env = [("GOCACHE", cache.to_str().unwrap())];
    let png: Vec<u8> = b"\x89PNG\r\n"
        .iter()
        .copied()
        .chain((0..40_000u32).map(|n| (n.wrapping_mul(2_654_435_761) >> 13).to_le_bytes()[0]))
        .collect();
    fs::create_dir(module.dir().join("assets")).unwrap();
    fs::write(module.dir().join("assets/logo.png"), &png).unwrap();
    module.write("assets/words.txt", &"plain words\n".repeat(1000));
    module.write(
        "assets.go",
        "package main\n\nimport \"embed\"\n\n//go:embed assets\nvar assets embed.FS\n\nfunc init() { _, _ = assets.ReadDir(\"assets\") }\n",
    );
    let analysis = analyze(&build(
        &module,
        &toolchain,
        &env,
        &["-trimpath", "-ldflags=-s -w"],
    ));
    let embeds = analysis["embeds"].as_array().unwrap();
    let of = |path: &str| {
        embeds
            .iter()
            .find(|it| it["path"] == path)
            .unwrap_or_else(|| panic!("{path} in {embeds:?}"))
    };
    assert_eq!(of("assets/words.txt")["size"], 12_000);
    assert_eq!(of("assets/logo.png")["size"], png.len());
    assert_eq!(of("assets/logo.png")["compressed"], "PNG");
    let findings = analysis["findings"].to_string();
    assert!(findings.contains("assets/logo.png"), "{findings}");
}

#[test]
fn an_embedded_file_in_a_variable_is_named_after_the_variable() {
    let noise = |len: u32| (0..len).map(|n| (n.wrapping_mul(2_654_435_761) >> 13).to_le_bytes()[0]);
    for minor in ["1.21", "1.27"] {
        let module = Module::copy("tiny");
        let toolchain = toolchain(minor);
        let gzip: Vec<u8> = b"\x1f\x8b".iter().copied().chain(noise(50_000)).collect();
        let zstd: Vec<u8> = b"\x28\xb5\x2f\xfd"
            .iter()
            .copied()
            .chain(noise(30_000))
            .collect();
        fs::write(module.dir().join("payload.gz"), &gzip).unwrap();
        fs::write(module.dir().join("payload.zst"), &zstd).unwrap();
        module.write("words.txt", &"plain words\n".repeat(1000));
        module.write(
            "payload.go",
            "package main\n\nimport _ \"embed\"\n\n//go:embed payload.gz\nvar text string\n\n//go:embed payload.zst\nvar bytes []byte\n\n\
             //go:embed words.txt\nvar words string\n\nfunc init() { bytes[0]++; println(len(text), len(bytes), len(words)) }\n",
        );
        let cache = targets_cache(&toolchain);
        let env = [("GOCACHE", cache.to_str().unwrap())];
        let analysis = analyze(&build(&module, &toolchain, &env, &["-trimpath"]));
        let embeds = analysis["embeds"].as_array().unwrap();
        let mut found_embeds: Vec<_> = embeds
            .iter()
            .map(|it| {
                (
                    it["path"].as_str().unwrap(),
                    it["size"].as_u64().unwrap(),
                    it["compressed"].as_str(),
                )
            })
            .collect();
        found_embeds.sort_unstable();
        let expected = [
            ("main.bytes", zstd.len() as u64, Some("zstd")),
            ("main.text", gzip.len() as u64, Some("gzip")),
        ];
        assert_eq!(found_embeds, expected, "go1.{minor}");
        // Text is not reported as an embedded file. It belongs to the main package, under the name of the variable.
        let symbols = analysis["symbols"]["list"].as_array().unwrap();
        let words = symbols
            .iter()
            .find(|it| it["name"] == "main.words")
            .unwrap();
        assert_eq!(
            (&words["package"], &words["bytes"]),
            (&"main".into(), &12_000.into())
        );
        assert_eq!(words["content"], "strings");
    }
}
