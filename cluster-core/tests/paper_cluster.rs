//! The example `paper_cluster` is held against sessions that are written down.
//!
//! What is written down is made by the example itself, and then read:
//!
//! ```sh
//! cd cluster-core/tests/paper
//! for script in *.txt; do
//!     cargo run -q -p cluster-core --example paper_cluster < $script > ${script%.txt}.out
//! done
//! ```

#[path = "../examples/paper_cluster/main.rs"]
#[expect(dead_code, reason = "its `main` reads the standard input")]
mod paper_cluster;

/// A script together with what is answered to it.
fn session(script: &str) -> String {
    let mut paper = paper_cluster::Paper::new();
    script.lines().map(|line| paper_cluster::echo(line) + &paper.read(line)).collect()
}

/// A test that holds a script against its session.
macro_rules! sessions {
    ($($name:ident)*) => {
        $(
            #[test]
            fn $name() {
                let script = include_str!(concat!("paper/", stringify!($name), ".txt"));
                let written = include_str!(concat!("paper/", stringify!($name), ".out"));
                let session = session(script);
                assert!(session == written, "this is not what is written down:\n{session}");
            }
        )*
    };
}

sessions! {
    a_whole_life
    bind_error
    blocked
    cordoned
    death_in_flight
    kernel_shared
    kill_after
    mistakes
    overload
    rescheduled
    sharded
    taken_back
}

/// The session in the example's own text.
#[test]
fn the_session_that_the_help_shows() {
    let text = include_str!("../examples/paper_cluster/main.rs");
    let (_, after) = text.split_once("//! ```text\n").expect("a session begins");
    let (shown, _) = after.split_once("//! ```\n").expect("and ends");
    let shown: String = shown.lines().map(|it| format!("{}\n", &it["//! ".len()..])).collect();
    let script: String = shown
        .lines()
        .filter(|line| !line.starts_with(' '))
        .map(|line| format!("{}\n", line.trim_start_matches("> ")))
        .collect();
    assert_eq!(session(&script), shown);
}

/// Whatever a line is cut to, it is a mistake or a fact, and no panic.
#[test]
fn no_line_panics() {
    let scripts = [
        include_str!("paper/a_whole_life.txt"),
        include_str!("paper/kernel_shared.txt"),
        include_str!("paper/mistakes.txt"),
        include_str!("paper/rescheduled.txt"),
        include_str!("paper/sharded.txt"),
        include_str!("paper/taken_back.txt"),
    ];
    for script in scripts {
        let mut paper = paper_cluster::Paper::new();
        for line in script.lines() {
            let ends = line.char_indices().map(|(end, _)| end).chain([line.len()]);
            for end in ends {
                paper.read(&line[..end]);
            }
            paper.read(&format!("{line} and more"));
        }
    }
}
