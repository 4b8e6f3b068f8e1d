//! The sandbox's command line: `serve` stands in for the networks, `demo` drives postroom against them.

use std::fmt::Display;
use std::process::ExitCode;

use clap::{Parser, Subcommand};
use sandbox::{demo, serve};

/// Stands in for Facebook, Instagram, TikTok and S3.
#[derive(Debug, Parser)]
#[command(version, about)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Serve the networks until SIGTERM.
    #[command(after_help = "Example: sandbox serve --data .dev/sandbox --processing 500ms")]
    Serve(serve::Options),
    /// Publish a CSV of posts through postroom and watch until all of it is public.
    #[command(
        after_help = "Example: sandbox demo --web http://localhost:8080 --key-file .dev/key --input demo/posts.csv"
    )]
    Demo(demo::Options),
}

#[tokio::main]
async fn main() -> ExitCode {
    match Cli::parse().command {
        Command::Serve(options) => exit(serve::run(options).await.map(|()| true)),
        Command::Demo(options) => exit(demo::run(options).await),
    }
}

/// 0 if all went well, 1 if not.
fn exit(outcome: Result<bool, impl Display>) -> ExitCode {
    match outcome {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("sandbox: {error}");
            ExitCode::FAILURE
        }
    }
}
