//! `nc` as healthchecks use it: whether a port accepts (`-z`), and a few bytes to and fro. It never listens.

use std::ffi::OsString;
use std::io::{Read as _, Write as _};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::ops::RangeInclusive;
use std::time::Duration;

const USAGE: &str = "usage: nc [-nvz] [-w SECONDS] HOST PORT[-PORT]";

#[derive(Debug, Default, PartialEq)]
struct Call {
    only_look: bool,
    verbose: bool,
    timeout: Option<Duration>,
    host: String,
    ports: Vec<RangeInclusive<u16>>,
}

fn parse(words: &[String]) -> Result<Call, String> {
    let mut call = Call::default();
    let mut places = Vec::new();
    let mut words = words.iter();
    while let Some(word) = words.next() {
        let Some(flags) = word.strip_prefix('-').filter(|flags| !flags.is_empty()) else {
            places.push(word.as_str());
            continue;
        };
        for (at, flag) in flags.char_indices() {
            match flag {
                'z' => call.only_look = true,
                'v' => call.verbose = true,
                // Names are resolved only where they are names; only IPv4, only IPv6: whatever answers.
                'n' | '4' | '6' | 'N' => {}
                'w' | 'q' | 'G' => {
                    let rest = &flags[at + 1..];
                    let text = if rest.is_empty() { words.next().cloned() } else { Some(rest.to_owned()) };
                    let seconds = text.as_deref().and_then(|text| text.parse().ok());
                    let seconds = seconds.ok_or_else(|| format!("nc: -{flag} takes seconds"))?;
                    if flag != 'q' {
                        call.timeout = Some(Duration::from_secs(seconds));
                    }
                    break;
                }
                'l' => return Err("nc: this nc does not listen".into()),
                other => return Err(format!("nc: invalid option -- '{other}'\n{USAGE}")),
            }
        }
    }
    let [host, ports @ ..] = places.as_slice() else { return Err(USAGE.into()) };
    call.host = (*host).to_owned();
    for text in ports {
        let (first, last) = text.split_once('-').unwrap_or((text, text));
        match (first.parse(), last.parse()) {
            (Ok(first), Ok(last)) => call.ports.push(first..=last),
            _ => return Err(format!("nc: port number invalid: {text}")),
        }
    }
    if call.ports.is_empty() { Err(USAGE.into()) } else { Ok(call) }
}

fn connect(host: &str, port: u16, timeout: Option<Duration>) -> std::io::Result<TcpStream> {
    let mut last = std::io::Error::other("no address");
    for address in jackdaw_beside::addresses(host, port)? {
        let tried = match timeout {
            Some(timeout) => TcpStream::connect_timeout(&address, timeout.max(Duration::from_millis(1))),
            None => TcpStream::connect::<SocketAddr>(address),
        };
        match tried {
            Ok(stream) => return Ok(stream),
            Err(error) => last = error,
        }
    }
    Err(last)
}

/// Our input to the peer, the peer's answer to our output.
fn converse(mut stream: TcpStream) -> std::io::Result<()> {
    let mut sending = stream.try_clone()?;
    std::thread::spawn(move || {
        let _ = std::io::copy(&mut std::io::stdin().lock(), &mut sending);
        let _ = sending.shutdown(Shutdown::Write);
    });
    let mut buffer = [0; 4096];
    loop {
        match stream.read(&mut buffer) {
            Ok(0) => return Ok(()),
            Ok(read) => {
                let mut out = std::io::stdout().lock();
                out.write_all(&buffer[..read])?;
                out.flush()?;
            }
            Err(error) => return Err(error),
        }
    }
}

/// `nc`
pub(crate) fn run(name: &str, words: Vec<OsString>) -> i32 {
    let words: Vec<String> = words.into_iter().map(|word| word.to_string_lossy().into_owned()).collect();
    let call = match parse(&words) {
        Ok(call) => call,
        Err(why) => {
            eprintln!("{why}");
            return 1;
        }
    };
    let mut code = 1;
    for port in call.ports.iter().cloned().flatten() {
        match connect(&call.host, port, call.timeout) {
            Ok(stream) => {
                if call.verbose {
                    eprintln!("Connection to {} {port} port [tcp/*] succeeded!", call.host);
                }
                code = 0;
                if !call.only_look {
                    let _ = stream.set_read_timeout(call.timeout);
                    // A peer that is silent for that long has nothing more to say.
                    return i32::from(converse(stream).is_err_and(|error| {
                        !matches!(error.kind(), std::io::ErrorKind::WouldBlock | std::io::ErrorKind::TimedOut)
                    }));
                }
            }
            Err(error) if call.verbose => {
                eprintln!("{name}: connect to {} port {port} (tcp) failed: {error}", call.host);
            }
            Err(_) => {}
        }
    }
    code
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_calls_of_healthchecks_are_read() {
        let read = |line: &str| parse(&line.split(' ').map(str::to_owned).collect::<Vec<_>>());
        let call = |only_look, verbose, seconds: Option<u64>, host: &str, ports: &[(u16, u16)]| {
            Ok(Call {
                only_look,
                verbose,
                timeout: seconds.map(Duration::from_secs),
                host: host.into(),
                ports: ports.iter().map(|(first, last)| *first..=*last).collect(),
            })
        };
        for (line, expected) in [
            ("-z localhost 9092", call(true, false, None, "localhost", &[(9092, 9092)])),
            ("-vz localhost 29092", call(true, true, None, "localhost", &[(29092, 29092)])),
            ("-zw3 kafka 9092-9094", call(true, false, Some(3), "kafka", &[(9092, 9094)])),
            ("-z -w 1 kafka 9092 9093", call(true, false, Some(1), "kafka", &[(9092, 9092), (9093, 9093)])),
            ("127.0.0.1 11211", call(false, false, None, "127.0.0.1", &[(11211, 11211)])),
        ] {
            assert_eq!(read(line), expected, "{line}");
        }
        for refused in ["-l 9092", "-z localhost", "-z localhost http", "-y localhost 1", "-w x localhost 1"]
        {
            assert!(read(refused).is_err(), "{refused}");
        }
    }
}
