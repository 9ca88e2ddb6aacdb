//! Parses, runs, and returns the exit code; the work is in the library.

use std::process::ExitCode;

fn main() -> ExitCode {
    devnet::run(std::env::args_os())
}
