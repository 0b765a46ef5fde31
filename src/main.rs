//! The program: see `cipherlane --help`.

fn main() -> std::process::ExitCode {
    cipherlane::cli::run()
}
