//! Rules as tables: a script of inputs, and after each line what the machine wants done. One helper, [`check`], runs
//! them; the tables lie beside, in `snapshots`.

mod elections;
mod evidence;
mod replication;
mod script;
mod snapshots;

use script::Bench;

/// Runs the script and compares what comes out, line by line, with the table of that name.
fn check(name: &str, script: &str) {
    let mut table = String::new();
    let mut bench: Option<Bench> = None;
    for line in script.lines().map(str::trim).filter(|line| !line.is_empty()) {
        table.push_str(line);
        table.push('\n');
        if line.starts_with('#') {
            continue;
        }
        let effects = match &mut bench {
            None => {
                let (made, effects) = Bench::start(line);
                bench = Some(made);
                effects
            }
            Some(bench) => bench.play(line),
        };
        for effect in effects {
            table.push_str(&format!("    {effect}\n"));
        }
    }
    insta::with_settings!({ omit_expression => true, prepend_module_to_snapshot => false }, {
        insta::assert_snapshot!(name, table);
    });
}
