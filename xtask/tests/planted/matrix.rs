//! `cargo xtask test-matrix` on a workspace with tests of every kind.

use std::fs;

use crate::scratch::{Said, Scratch};

const ALPHA: &str = r#"
//! Has documentation that is tested:
//!
//! ```
//! assert_eq!(alpha::one(), 1);
//! ```
//!
//! ```
//! assert_eq!(alpha::one(), 2);
//! ```

/// One.
pub fn one() -> u32 {
    1
}

#[cfg(test)]
mod tests {
    #[test]
    fn good() {
        assert_eq!(std::env::var("CARGO_PKG_NAME").as_deref(), Ok("alpha"));
        assert!(std::path::Path::new("src/lib.rs").is_file(), "the package is the current folder");
    }

    #[test]
    fn bad() {
        println!("before the end");
        assert_eq!(super::one(), 3);
    }

    #[test]
    #[ignore = "takes a day"]
    fn slow() {}
}
"#;

/// Dies in the middle. Its last words go past libtest, which keeps what tests print to itself.
const MORTAL: &str = r#"
use std::io::Write as _;

#[test]
fn dies() {
    writeln!(std::io::stderr(), "last words").unwrap();
    std::process::abort();
}
"#;

const FLAVOUR: &str = r#"
mod rr {
    mod lifecycle {
        #[test]
        fn basic() {
            // The program that the suite starts has been built.
            let fixture = std::path::Path::new(env!("CARGO_BIN_EXE_fixture"));
            assert!(fixture.is_file());
        }
    }
}

mod none {
    mod lifecycle {
        #[test]
        fn basic() {}
        #[test]
        fn other() {}
    }
}

#[test]
fn alone() {}
"#;

/// Starts the examples of both runtimes, which have one name.
const EXAMPLES: &str = r#"
fn says(runtime: &str) {
    let test = std::env::current_exe().unwrap();
    let target = test.ancestors().nth(3).unwrap();
    let example = target.join(format!("{runtime}-examples/debug/examples/http"));
    let said = std::process::Command::new(example).output().unwrap().stdout;
    assert_eq!(said, runtime.as_bytes());
}

mod tokio {
    mod http {
        #[test]
        fn promise() {
            crate::says("tokio");
        }
    }
}

mod smol {
    mod http {
        #[test]
        fn promise() {
            crate::says("smol");
        }
    }
}
"#;

const WORKSPACE: &str = r#"
[workspace]
resolver = "3"
members = ["alpha", "cluster-smol", "cluster-tokio", "suite"]
"#;

fn planted() -> Scratch {
    let scratch = Scratch::new();
    let manifest = |name: &str| {
        format!("[package]\nname = \"{name}\"\nversion = \"0.1.0\"\nedition = \"2024\"\n")
    };
    scratch
        .plant("Cargo.toml", WORKSPACE)
        .plant("alpha/Cargo.toml", &manifest("alpha"))
        .plant("alpha/src/lib.rs", ALPHA)
        .plant("alpha/tests/mortal.rs", MORTAL)
        .plant("suite/Cargo.toml", &manifest("cluster-tests"))
        .plant("suite/src/bin/fixture.rs", "fn main() {}\n")
        .plant("suite/tests/patterns.rs", EXAMPLES)
        .plant("suite/tests/tokio_current.rs", FLAVOUR);
    for runtime in ["tokio", "smol"] {
        let package = format!("cluster-{runtime}");
        let example = format!("fn main() {{\n    print!(\"{runtime}\");\n}}\n");
        scratch
            .plant(&format!("{package}/Cargo.toml"), &manifest(&package))
            .plant(&format!("{package}/src/lib.rs"), "")
            .plant(&format!("{package}/examples/http.rs"), &example);
    }
    scratch
}

fn assert_contains(said: &Said, parts: &[&str]) {
    for part in parts {
        assert!(said.stdout.contains(part), "{part}\nis missing from\n{}", said.stdout);
    }
}

/// One workspace and one test, since building it is what takes time.
#[test]
fn every_kind_of_test_is_run_counted_and_explained() {
    let scratch = planted();
    let said = scratch.xtask(&["test-matrix"]);
    assert_contains(
        &said,
        &[
            "               unit  doc  integration  tokio_current none  tokio_current rr  \
             smol examples  tokio examples\n",
            "alpha          1/1   1/1  0/1          -                   -                 \
             -              -\n",
            "http           -     -    -            -                   -                 \
             1/0            1/0\n",
            "lifecycle      -     -    -            2/0                 1/0               \
             -              -\n",
            "tokio_current  -     -    1/0          -                   -                 \
             -              -\n",
            "FAILED alpha alpha tests::bad\n  \
             cargo test -p alpha --all-features --lib -- --exact tests::bad\n  | before the end\n",
            "FAILED alpha alpha alpha/src/lib.rs - (line 8)\n  \
             cargo test -p alpha --all-features --doc -- 'alpha/src/lib.rs - (line 8)'\n",
            "FAILED alpha mortal dies\n",
            "  | no verdict: signal: 6",
            "last words\n",
            "skipped alpha alpha tests::slow: takes a day\n",
            "\n\n8 passed, 3 failed, 1 skipped\n",
        ],
    );
    assert_eq!(said.stdout.lines().last(), Some("8 passed, 3 failed, 1 skipped"));
    assert_eq!(said.code, Some(1));
    assert!(said.stderr.contains("cluster-tests test tokio_current: 4 passed, 0 failed, "));

    rounds_are_counted_and_written_down(&scratch);
    a_filter_that_matches_nothing_fails(&scratch);
    a_workspace_that_does_not_build_fails(&scratch);
}

fn rounds_are_counted_and_written_down(scratch: &Scratch) {
    let file = scratch.as_ref().join("results.json");
    let json = file.to_string_lossy();
    let said = scratch.xtask(&[
        "test-matrix",
        "--filter",
        "basic",
        "--repeat",
        "2",
        "--jobs",
        "2",
        "--json",
        &json,
    ]);
    assert_contains(&said, &["\nlifecycle  2/0                 2/0\n"]);
    assert_eq!(said.stdout.lines().last(), Some("4 passed, 0 failed"));
    assert_eq!(said.code, Some(0));
    assert!(said.stderr.contains("[2/2] cluster-tests test tokio_current: 2 passed"));

    let text = fs::read_to_string(&file).expect("the results are written");
    let results: serde_json::Value = serde_json::from_str(&text).expect("they are JSON");
    assert_eq!(results["rounds"], 2);
    assert_eq!(results["total"]["passed"], 4);
    let test = &results["tests"][3];
    assert_eq!(test["round"], 2);
    assert_eq!(test["package"], "cluster-tests");
    assert_eq!(test["binary"], "tokio_current");
    assert_eq!(test["row"], "lifecycle");
    assert_eq!(test["column"], "tokio_current rr");
    assert_eq!(test["name"], "rr::lifecycle::basic");
    assert_eq!(test["outcome"], "passed");
    assert!(results["programs"][0]["seconds"].is_f64());
}

fn a_filter_that_matches_nothing_fails(scratch: &Scratch) {
    let said = scratch.xtask(&["test-matrix", "--filter", "nowhere"]);
    let expected = "no test that runs has `nowhere` in its name\n\n0 passed, 0 failed\n";
    assert_eq!(said.stdout, expected);
    assert_eq!(said.code, Some(1));
}

fn a_workspace_that_does_not_build_fails(scratch: &Scratch) {
    scratch.plant("alpha/tests/mortal.rs", "fn {");
    let said = scratch.xtask(&["test-matrix"]);
    assert!(said.stderr.contains("the tests do not build"), "{}", said.stderr);
    assert_eq!(said.code, Some(1));
}
