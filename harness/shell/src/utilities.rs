//! The tools of uutils, under their names: only those that the scripts around Kafka use.
//! Nothing here changes what they do.

use crate::Tool;
use std::ffi::OsString;
use std::io::Write as _;

/// As `uucore::bin!` prepares a tool that is a program of its own; that macro exits by itself and reads the
/// process's own arguments.
fn localized(name: &str, words: Vec<OsString>, main: impl FnOnce(Vec<OsString>) -> i32) -> i32 {
    if let Err(error) =
        uucore::locale::setup_localization(uucore::get_canonical_util_name(&format!("uu_{name}")))
    {
        eprintln!("{name}: {error}");
        return 99;
    }
    prepared(name, words, main)
}

fn prepared(name: &str, words: Vec<OsString>, main: impl FnOnce(Vec<OsString>) -> i32) -> i32 {
    uucore::panic::preserve_inherited_sigpipe();
    uucore::panic::mute_sigpipe_panic();
    let code = main(std::iter::once(OsString::from(name)).chain(words).collect());
    // Rust does not flush on exit; a reader that is gone is no failure.
    let _ = std::io::stdout().flush();
    code
}

macro_rules! tools {
    ($($name:literal => $krate:ident),* $(,)?) => {
        /// Names and what they do.
        pub(crate) const TABLE: &[(&str, Tool)] = &[
            $(($name, |name, words| localized(name, words, |words| $krate::uumain(words.into_iter()))),)*
        ];
    };
}

/// What has its own release, and one language.
pub(crate) const SED: (&str, Tool) =
    ("sed", |name, words| prepared(name, words, |words| sed::sed::uumain(words.into_iter())));

tools! {
    "[" => uu_test,
    "basename" => uu_basename,
    "cat" => uu_cat,
    "chmod" => uu_chmod,
    "cp" => uu_cp,
    "cut" => uu_cut,
    "dirname" => uu_dirname,
    "echo" => uu_echo,
    "false" => uu_false,
    "grep" => uu_grep,
    "head" => uu_head,
    "id" => uu_id,
    "ls" => uu_ls,
    "mkdir" => uu_mkdir,
    "mv" => uu_mv,
    "printf" => uu_printf,
    "rm" => uu_rm,
    "seq" => uu_seq,
    "sleep" => uu_sleep,
    "tail" => uu_tail,
    "tee" => uu_tee,
    "test" => uu_test,
    "timeout" => uu_timeout,
    "tr" => uu_tr,
    "true" => uu_true,
    "wc" => uu_wc,
}
