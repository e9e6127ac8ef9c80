//! The shell of the image and its small tools, by the very kinds of lines that compose files around Kafka are made of:
//! healthchecks, init services, entrypoint overrides, scripts. Each runs with nothing on its PATH but the links that
//! the image has.

#![allow(clippy::unwrap_used, reason = "a panic in a test's helper is the failure report")]

use std::fs;
use std::net::TcpListener;
use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::path::Path;
use std::process::{Command, Output, Stdio};

const PROGRAM: &str = env!("CARGO_BIN_EXE_jackdaw");

/// A folder that is all of PATH: links to the program, and stand-ins for Kafka's tools.
struct Place {
    folder: tempfile::TempDir,
}

/// Stands for a broker that answers from the third time on.
const THIRD_TIME: &str = "#!/bin/sh\necho x >> count\n[ \"$(wc -l < count)\" -ge 3 ]\n";

impl Place {
    fn new() -> Self {
        let place = Place { folder: tempfile::tempdir().unwrap() };
        for name in jackdaw_shell::names() {
            symlink(PROGRAM, place.path().join(name)).unwrap();
        }
        place.script("kafka-topics.sh", "#!/bin/bash\necho \"$*\" >> calls\necho tester\n");
        place.script("kafka-broker-api-versions.sh", THIRD_TIME);
        place
    }

    fn path(&self) -> &Path {
        self.folder.path()
    }

    fn script(&self, name: &str, text: &str) {
        let bash = self.path().join("bash");
        let text = text.replace("#!/bin/bash", &format!("#!{}", bash.display()));
        let text = text.replace("#!/bin/sh", &format!("#!{}", self.path().join("sh").display()));
        fs::write(self.path().join(name), text).unwrap();
        fs::set_permissions(self.path().join(name), fs::Permissions::from_mode(0o755)).unwrap();
    }

    fn command(&self, name: &str, words: &[&str]) -> Command {
        let mut command = Command::new(self.path().join(name));
        command.args(words).current_dir(self.path()).env_clear();
        command.env("PATH", self.path()).env("HOME", self.path()).env("KAFKA_NODE_ID", "1");
        command.stdin(Stdio::null());
        command
    }

    fn run(&self, name: &str, words: &[&str]) -> Output {
        self.command(name, words).output().unwrap()
    }
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// Lines of `sh -c` and `bash -c`: what they print, and how they end.
const LINES: &[(&str, &str, i32)] = &[
    // Healthchecks.
    ("kafka-topics.sh --bootstrap-server localhost:9092 --list > /dev/null 2>&1", "", 0),
    ("kafka-topics.sh --list | grep -q tester", "", 0),
    ("kafka-topics.sh --list | grep -c ^other$ || exit 1", "0\n", 1),
    ("no-such-tool --bootstrap-server kafka:9092 2>/dev/null || exit 1", "", 1),
    ("./no/such/kafka-broker-api-versions.sh > /dev/null 2>&1", "", 127),
    ("[ -f calls ] && test -s calls && echo written", "written\n", 0),
    ("timeout 5 true && ! timeout 0.1 sleep 5; echo $?", "0\n", 0),
    // Init services.
    (
        "until kafka-broker-api-versions.sh; do echo waiting; sleep 0.01; done; echo up",
        "waiting\nwaiting\nup\n",
        0,
    ),
    ("for t in a b:3; do echo \"${t%%:*} ${t##*:}\"; done", "a a\nb 3\n", 0),
    ("i=0; while [ $i -lt 3 ]; do i=$((i+1)); done; echo $i", "3\n", 0),
    ("for i in $(seq 1 3); do printf '%s,' $i; done; echo", "1,2,3,\n", 0),
    ("echo 'one:1\ntwo:2' | cut -d: -f2 | tr '\\n' ' '", "1 2 ", 0),
    ("set -e; false; echo not reached", "", 1),
    ("cat <<'EOF' | head -n 1\nfirst $HOME\nsecond\nEOF", "first $HOME\n", 0),
    ("TOPICS='a,b'; IFS=','; for t in $TOPICS; do echo -n \"[$t]\"; done", "[a][b]", 0),
    ("case \"$KAFKA_NODE_ID\" in 1) echo one;; *) echo other;; esac", "one\n", 0),
    ("create() { kafka-topics.sh --create --if-not-exists --topic \"$1\"; }; create tester", "tester\n", 0),
    ("(echo sub; exit 4) || echo $?", "sub\n4\n", 0),
    ("sleep 0.01 & wait $!; echo done", "done\n", 0),
    ("echo ${MISSING:-default} ${KAFKA_NODE_ID:+set}", "default set\n", 0),
    ("mkdir -p d/e && touch d/e/f && cp d/e/f d/g && mv d/g d/h && ls d && rm -rf d", "e\nh\n", 0),
    ("command -v kafka-topics.sh > /dev/null && echo there", "there\n", 0),
    ("trap 'echo bye' EXIT; echo hello", "hello\nbye\n", 0),
    ("env -u HOME GREETING=hi sh -c 'echo $GREETING${HOME:-}'", "hi\n", 0),
    ("date -u -d @0 +%Y-%m-%dT%H:%M:%SZ", "1970-01-01T00:00:00Z\n", 0),
    ("basename /a/b.sh .sh; dirname /a/b.sh", "b\n/a\n", 0),
    ("echo error >&2; exit 3", "", 3),
    // Configurations that are changed on the way.
    ("echo '# b=2' | sed -e 's/^# //' -e 's|2|/x/y|'", "b=/x/y\n", 0),
    ("printf 'a=1\\nb=2\\n' | sed -n 's/\\(.\\)=[[:digit:]]\\+$/\\1/p' | sed '1!G;h;$!d'", "b\na\n", 0),
    (
        "cp vars v; sed -i.old -E '/^(FROM)_/d; $ a TO=1' v; cat v.old; sed '/_/!d' v",
        "FROM_FILE=sourced\n",
        0,
    ),
    ("sed 'k' vars", "", 1),
    ("printf '%s\\n' x | tee copy | wc -l && cat copy", "1\nx\n", 0),
];

/// Lines that only bash has to understand.
const BASH_LINES: &[(&str, &str, i32)] = &[
    ("[[ \"kafka-0\" == kafka-* ]] && echo yes", "yes\n", 0),
    ("[[ \"kafka-12\" =~ ^kafka-([0-9]+)$ ]] && echo ${BASH_REMATCH[1]}", "12\n", 0),
    ("topics=(a b c); echo ${#topics[@]} \"${topics[1]}\"", "3 b\n", 0),
    ("set -euo pipefail; false | true; echo not reached", "", 1),
    ("h=${HOSTNAME_X:-kafka-3}; echo ${h##*-}; echo ${h^^}", "3\nKAFKA-3\n", 0),
    ("while read -r name count; do echo $count $name; done <<< 'a 1'", "1 a\n", 0),
    ("for ((i=0; i<2; i++)); do echo -n $i; done", "01", 0),
    ("diff=$((10 - 3)); echo $diff; echo $RANDOM > /dev/null", "7\n", 0),
    ("source ./vars && echo $FROM_FILE", "sourced\n", 0),
];

#[test]
fn the_lines_of_compose_files_run() {
    let place = Place::new();
    fs::write(place.path().join("vars"), "FROM_FILE=sourced\n").unwrap();
    let both = LINES.iter().flat_map(|line| [("sh", line), ("bash", line)]);
    let mut wrong = Vec::new();
    for (shell, (line, expected, code)) in both.chain(BASH_LINES.iter().map(|line| ("bash", line))) {
        for file in ["count", "copy"] {
            let _ = fs::remove_file(place.path().join(file));
        }
        let output = place.run(shell, &["-c", line]);
        let found = (text(&output.stdout), output.status.code());
        if found != ((*expected).to_owned(), Some(*code)) {
            wrong.push(format!("{shell} -c {line:?}: {found:?}, {}", text(&output.stderr)));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn a_port_is_looked_at_in_every_usual_way() {
    let place = Place::new();
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let open = listener.local_addr().unwrap().port().to_string();
    let closed = {
        let other = TcpListener::bind("127.0.0.1:0").unwrap();
        other.local_addr().unwrap().port().to_string()
    };
    for line in [
        "nc -z localhost PORT",
        "nc -vz -w 2 127.0.0.1 PORT 2> /dev/null",
        "echo > /dev/tcp/127.0.0.1/PORT",
        "(echo > /dev/tcp/localhost/PORT) > /dev/null 2>&1",
        "timeout 2 bash -c '</dev/tcp/127.0.0.1/PORT'",
        "timeout 2 bash -c 'cat < /dev/null > /dev/tcp/127.0.0.1/PORT'",
    ] {
        for (port, expected) in [(&open, true), (&closed, false)] {
            let output = place.run("bash", &["-c", &line.replace("PORT", port)]);
            assert_eq!(output.status.success(), expected, "{line} {port}: {}", text(&output.stderr));
        }
    }
}

#[test]
fn scripts_are_run_by_name_and_by_the_shell_and_so_are_links_to_the_program() {
    let place = Place::new();
    place.script(
        "start.sh",
        "#!/bin/bash\nset -e\nD=$(dirname \"$0\")\necho $D $# \"$1\"\nexec ./ready.sh \"$@\"\n",
    );
    place.script("ready.sh", "#!/bin/sh\necho ready $1; exit 5\n");
    for (name, words) in [("bash", &["./start.sh", "one two"][..]), ("start.sh", &["one two"])] {
        let output = place.run(name, words);
        let folder = if name == "bash" { "." } else { place.path().to_str().unwrap() };
        let told = format!("{folder} 1 one two\nready one two\n");
        assert_eq!((text(&output.stdout), output.status.code()), (told, Some(5)), "{}", text(&output.stderr));
    }
    let output = place.run("bash", &["./seq", "2"]);
    assert_eq!(text(&output.stdout), "1\n2\n", "{}", text(&output.stderr));
}

#[test]
fn commands_come_from_the_input_too() {
    let place = Place::new();
    let mut child = place.command("bash", &[]).stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
    use std::io::Write as _;
    let script = "cd /\npwd\nif true\nthen\n  echo in between\nfi\ncat <<EOF\nhere\nEOF\nexit 6\n";
    child.stdin.take().unwrap().write_all(script.as_bytes()).unwrap();
    let output = child.wait_with_output().unwrap();
    assert_eq!((text(&output.stdout), output.status.code()), ("/\nin between\nhere\n".into(), Some(6)));
}
