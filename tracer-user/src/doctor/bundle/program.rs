//! The output of a program of the system, limited in time and size.

use std::io::{self, Read as _};
use std::process::{Command, Stdio};
use std::sync::mpsc::channel;
use std::thread;
use std::time::Duration;

/// The start of the program's stdout, or the reason of the failure.
pub(super) fn output(name: &str, args: &[&str], timeout: Duration, limit: usize) -> String {
    run(name, args, timeout, limit).unwrap_or_else(|error| format!("{name}: {error}\n"))
}

fn run(name: &str, args: &[&str], timeout: Duration, limit: usize) -> io::Result<String> {
    let mut child = Command::new(name)
        .args(args)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()?;
    let stdout = child.stdout.take().ok_or(io::ErrorKind::BrokenPipe)?;
    let (sender, output) = channel();
    // The thread ends with the pipe, which the kill below closes.
    thread::spawn(move || {
        let mut text = Vec::new();
        let limit = u64::try_from(limit).unwrap_or(u64::MAX);
        let read = stdout.take(limit).read_to_end(&mut text);
        // The receiver is gone after the timeout.
        let _late = sender.send(read.map(|_| text));
    });
    let read = output.recv_timeout(timeout);
    // The program may write more than the limit, or hang.
    let _ended = child.kill();
    let status = child.wait()?;
    let text = read.map_err(|_| io::Error::from(io::ErrorKind::TimedOut))??;
    if text.is_empty() {
        return Ok(format!("no output ({status})\n"));
    }
    Ok(String::from_utf8_lossy(&text).into_owned())
}

#[cfg(test)]
mod tests {
    use std::time::Instant;

    use super::*;

    const LONG: Duration = Duration::from_mins(1);

    #[test]
    fn output_is_limited_in_time_and_size() {
        let begun = Instant::now();
        assert_eq!(output("yes", &[], LONG, 6), "y\ny\ny\n");
        let hung = output("sleep", &["60"], Duration::from_millis(50), 6);
        assert!(hung.starts_with("sleep: "), "{hung}");
        assert!(begun.elapsed() < LONG);
        assert_eq!(output("echo", &["a"], LONG, 6), "a\n");
        assert!(output("/no/such/program", &[], LONG, 6).contains("No such file"));
        assert!(output("true", &[], LONG, 6).starts_with("no output"));
    }
}
