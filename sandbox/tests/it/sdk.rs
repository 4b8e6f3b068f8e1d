//! Meta's own library finds what it expects.

use std::process::Stdio;

use tokio::process::Command;

use crate::harness::Net;

/// The fewest checks that the conversation makes.
const LEAST: usize = 70;
/// The app's secret, with which the library proves its calls.
const SECRET: &str = "0123456789abcdef0123456789abcdef";

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs a library from PyPI: bin/test has it run where that can be had, and says so where it cannot"]
async fn metas_own_library_publishes_reads_pages_and_fails_as_it_does_at_meta() {
    let python = std::env::var("POSTROOM_SDK_PYTHON")
        .expect("POSTROOM_SDK_PYTHON must name a Python with Meta's library: tests/sdk/install prints one");
    let net = Net::start_with(|options| options.meta_app_secret = Some(SECRET.into())).await;
    let (graph, control) = (&net.addresses().graph, &net.addresses().control);
    let root = concat!(env!("CARGO_MANIFEST_DIR"), "/..");
    let (script, demo) = (format!("{root}/tests/sdk/graph.py"), format!("{root}/demo"));
    let mut talk = Command::new(python);
    talk.arg(script).args([graph, control, &demo, SECRET]);
    // Whatever the caller's environment says, all of it stays on this machine.
    talk.env("NO_PROXY", "*").env("PYTHONDONTWRITEBYTECODE", "1").stdin(Stdio::null()).kill_on_drop(true);
    let told = talk.output().await.expect("Python starts");
    let (said, complained) = (String::from_utf8_lossy(&told.stdout), String::from_utf8_lossy(&told.stderr));
    assert!(told.status.success(), "{said}{complained}");
    let checks = said.lines().last().and_then(|line| line.strip_suffix(" checks")?.parse::<usize>().ok());
    assert!(checks.is_some_and(|checks| checks >= LEAST), "{said}{complained}");
}
