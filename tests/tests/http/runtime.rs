//! The runtimes whose examples are tested, and where their programs are.

use std::env;
use std::fmt;
use std::path::PathBuf;
use std::process::Command;
use std::sync::OnceLock;

/// The runtime of an example.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Runtime {
    Tokio,
    Smol,
}

impl Runtime {
    /// An example of this runtime's package. The first call builds those that are tested here, of
    /// all runtimes, if they are not up to date: no test is to share the machine with a compiler.
    pub(crate) fn program(self, name: &str) -> PathBuf {
        static FOLDERS: OnceLock<[PathBuf; 2]> = OnceLock::new();
        FOLDERS.get_or_init(|| [Self::Tokio, Self::Smol].map(Self::build))[self as usize].join(name)
    }

    /// Builds examples of this runtime's package, and tells where they are: in a target folder of
    /// their own, since cargo puts those of all packages into one, and here two have one name.
    fn build(self) -> PathBuf {
        let test = env::current_exe().expect("this test has a path");
        let folder = test.ancestors().nth(2).expect("it is <target>/<profile>/deps/<test>");
        let (target, profile) = (folder.parent(), folder.file_name());
        let target = target.expect("a profile's folder is in one").join(format!("{self}-examples"));
        let profile = profile.and_then(|name| name.to_str()).expect("a profile has a name");
        let status = Command::new(env::var_os("CARGO").unwrap_or_else(|| "cargo".into()))
            .current_dir(env!("CARGO_MANIFEST_DIR"))
            .args(["build", "--package", &format!("cluster-{self}")])
            .args(crate::EXAMPLES.iter().flat_map(|name| ["--example", name]))
            .args(["--profile", if profile == "debug" { "dev" } else { profile }])
            .arg("--target-dir")
            .arg(&target)
            .status();
        assert!(status.expect("cargo starts").success(), "the examples on {self} do not build");
        target.join(profile).join("examples")
    }
}

impl fmt::Display for Runtime {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Tokio => "tokio",
            Self::Smol => "smol",
        })
    }
}

/// Makes tests named `runtime::example::promise` of functions `example::promise`.
macro_rules! on_each_runtime {
    ($($example:ident { $($promises:tt)* })*) => {
        /// The examples that are tested here.
        const EXAMPLES: &[&str] = &[$(stringify!($example)),*];

        on_one_runtime! { tokio = Tokio: $($example { $($promises)* })* }
        on_one_runtime! { smol = Smol: $($example { $($promises)* })* }
    };
}

macro_rules! on_one_runtime {
    ($name:ident = $runtime:ident: $($example:ident { $($promise:ident,)* })*) => {
        mod $name {
            $(mod $example {
                $(#[test]
                fn $promise() {
                    crate::$example::$promise(crate::runtime::Runtime::$runtime);
                })*
            })*
        }
    };
}
