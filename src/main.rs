//! The executable: every role of the system is one of its verbs.

use std::process::ExitCode;

#[tokio::main]
async fn main() -> ExitCode {
    // one TLS provider for all clients; a second one, compiled in by chance, would be a panic at run time
    if rustls::crypto::aws_lc_rs::default_provider().install_default().is_err() {
        eprintln!("postroom: a TLS provider was installed before main");
        return ExitCode::FAILURE;
    }
    postroom::cli::run().await
}
