//! The image: the running binary, the shared libraries it has mapped, and what [`super::rootfs`] puts around them.
//! Made in memory, streamed to the engine, tagged by content.

pub use super::rootfs::{BINARY, Names, changes};

use super::rootfs::{FOLDERS, changeable, files, links};
use crate::digest;
use crate::runtime::{Result, RuntimeError};
use sha2::{Digest as _, Sha256};
use std::collections::BTreeSet;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

/// Where the launcher puts a node's configuration.
pub const PROPERTIES: &str = "/etc/jackdaw/server.properties";
/// The image's name; its tag is the hash of its content.
pub const NAME: &str = "jackdaw";

/// Everything that goes into the image.
#[derive(Debug)]
pub struct Content {
    binary: Vec<u8>,
    libraries: Vec<(PathBuf, Vec<u8>)>,
    links: Vec<(PathBuf, PathBuf)>,
}

impl Content {
    /// Reads the running binary and what it has mapped; `names` are those that it answers to.
    ///
    /// # Errors
    /// When one of them cannot be read.
    pub fn of_this_program(names: &Names) -> Result<Self> {
        let read = |path: &Path| fs::read(path).map_err(RuntimeError::io(path));
        let binary = read(Path::new("/proc/self/exe"))?;
        let maps = read(Path::new("/proc/self/maps"))?;
        let mut mapped = mapped_libraries(&String::from_utf8_lossy(&maps));
        mapped.extend(name_service(&mapped));
        let loader = mapped.iter().filter_map(|path| loader_link(path));
        let named = links(names).into_iter().map(|(from, to)| (from.into(), to.into()));
        let links = loader.chain(named).collect();
        let libraries = mapped.into_iter().map(|path| Ok((path.clone(), read(&path)?)));
        Ok(Content { binary, libraries: libraries.collect::<Result<_>>()?, links })
    }

    /// `jackdaw:HASH`.
    pub fn reference(&self) -> String {
        let mut sha = Sha256::new();
        sha.update(&self.binary);
        for (path, text) in files().chain(changeable()) {
            sha.update(path.as_bytes());
            sha.update(text.as_bytes());
        }
        for (path, uid, gid, mode) in FOLDERS {
            sha.update(format!("{path} {uid} {gid} {mode}").as_bytes());
        }
        for (from, to) in &self.links {
            sha.update(from.as_os_str().as_encoded_bytes());
            sha.update(to.as_os_str().as_encoded_bytes());
        }
        for (path, bytes) in &self.libraries {
            sha.update(path.as_os_str().as_encoded_bytes());
            sha.update(bytes);
        }
        format!("{NAME}:{}", &digest::text(&sha.finalize())[..12])
    }

    /// The root file system.
    ///
    /// # Errors
    /// When a path does not fit a tar header.
    pub fn tar(&self) -> io::Result<Vec<u8>> {
        let mut tar = tar::Builder::new(Vec::with_capacity(self.binary.len() * 5 / 4));
        for (path, uid, gid, mode) in FOLDERS {
            folder(&mut tar, path, uid, gid, mode)?;
        }
        for (path, text) in files() {
            file(&mut tar, Path::new(path), text.as_bytes(), 0o644)?;
        }
        for (path, text) in changeable() {
            file(&mut tar, Path::new(path), text.as_bytes(), 0o777)?;
        }
        for (path, bytes) in &self.libraries {
            file(&mut tar, relative(path), bytes, 0o755)?;
        }
        for (from, to) in &self.links {
            let mut header = header(tar::EntryType::Symlink, 0o777);
            tar.append_link(&mut header, relative(from), to)?;
        }
        file(&mut tar, relative(Path::new(BINARY)), &self.binary, 0o755)?;
        tar.into_inner()
    }
}

fn relative(path: &Path) -> &Path {
    path.strip_prefix("/").unwrap_or(path)
}

fn header(kind: tar::EntryType, mode: u32) -> tar::Header {
    let mut header = tar::Header::new_gnu();
    header.set_entry_type(kind);
    header.set_mode(mode);
    header.set_uid(0);
    header.set_gid(0);
    header.set_size(0);
    header
}

/// Adds a folder.
///
/// # Errors
/// When the path does not fit a tar header.
pub fn folder(tar: &mut tar::Builder<Vec<u8>>, path: &str, uid: u64, gid: u64, mode: u32) -> io::Result<()> {
    let mut header = header(tar::EntryType::Directory, mode);
    header.set_uid(uid);
    header.set_gid(gid);
    tar.append_data(&mut header, format!("{}/", path.trim_matches('/')), io::empty())
}

/// Adds a file.
///
/// # Errors
/// When the path does not fit a tar header.
pub fn file(tar: &mut tar::Builder<Vec<u8>>, path: &Path, bytes: &[u8], mode: u32) -> io::Result<()> {
    owned_file(tar, path, bytes, mode, (0, 0))
}

/// Adds a file that belongs to a user and a group.
///
/// # Errors
/// When the path does not fit a tar header.
pub fn owned_file(
    tar: &mut tar::Builder<Vec<u8>>,
    path: &Path,
    bytes: &[u8],
    mode: u32,
    (uid, gid): (u64, u64),
) -> io::Result<()> {
    let mut header = header(tar::EntryType::Regular, mode);
    header.set_uid(uid);
    header.set_gid(gid);
    header.set_size(bytes.len() as u64);
    tar.append_data(&mut header, path, bytes)
}

/// Shared objects in a `/proc/PID/maps`, each once.
fn mapped_libraries(maps: &str) -> BTreeSet<PathBuf> {
    let is_library = |path: &&str| {
        let name = path.rsplit('/').next().unwrap_or_default();
        path.starts_with('/') && (name.ends_with(".so") || name.contains(".so."))
    };
    maps.lines()
        .filter_map(|line| line.split_whitespace().nth(5))
        .filter(is_library)
        .map(PathBuf::from)
        .collect()
}

/// glibc before 2.34 loads its name service by name, when it first resolves one.
fn name_service(mapped: &BTreeSet<PathBuf>) -> Vec<PathBuf> {
    let libc = mapped.iter().find(|path| path.file_name().is_some_and(|name| name == "libc.so.6"));
    let Some(folder) = libc.and_then(|path| path.parent()) else { return Vec::new() };
    let names = ["libnss_files.so.2", "libnss_dns.so.2", "libresolv.so.2"];
    names.map(|name| folder.join(name)).into_iter().filter(|path| path.exists()).collect()
}

/// The loader is named in the binary by a path that is a link on most systems.
fn loader_link(path: &Path) -> Option<(PathBuf, PathBuf)> {
    let name = path.file_name()?.to_str()?;
    if !name.starts_with("ld-") {
        return None;
    }
    let homes = ["/lib64", "/lib"].map(|home| Path::new(home).join(name));
    let home = homes.into_iter().find(|home| home.exists() && home != path)?;
    Some((home, path.to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_image_holds_this_program_and_what_it_has_mapped() {
        let names = Names { shell: vec!["bash".into()], kafka: vec!["kafka-topics.sh".into()] };
        let content = Content::of_this_program(&names).unwrap();
        assert_eq!(
            content.reference(),
            Content::of_this_program(&names).unwrap().reference(),
            "same content, same tag"
        );
        let bytes = content.tar().unwrap();
        let mut archive = tar::Archive::new(bytes.as_slice());
        let names: Vec<String> = archive
            .entries()
            .unwrap()
            .map(|entry| entry.unwrap().path().unwrap().display().to_string())
            .collect();
        for wanted in ["usr/bin/jackdaw", "usr/bin/bash", "bin", "etc/passwd", "bitnami/kafka/data/", "tmp/"]
        {
            assert!(names.iter().any(|name| name == wanted), "{wanted} in {names:?}");
        }
        if cfg!(all(target_env = "gnu", not(target_feature = "crt-static"))) {
            assert!(names.iter().any(|name| name.ends_with("libc.so.6")), "{names:?}");
            assert!(
                names.iter().any(|name| name.contains("lib64/ld-") || name.contains("lib/ld-")),
                "{names:?}"
            );
        }
    }

    #[test]
    fn libraries_are_taken_from_the_maps_once() {
        let maps = "7f0-7f1 r--p 00000000 fe:00 12 /usr/lib/x86_64-linux-gnu/libc.so.6\n\
                    7f1-7f2 r-xp 00026000 fe:00 12 /usr/lib/x86_64-linux-gnu/libc.so.6\n\
                    7f3-7f4 rw-p 00000000 00:00 0 [heap]\n7f5-7f6 r--p 0 fe:00 9 /target/debug/jackdaw\n";
        let found: Vec<PathBuf> = mapped_libraries(maps).into_iter().collect();
        assert_eq!(found, [PathBuf::from("/usr/lib/x86_64-linux-gnu/libc.so.6")]);
    }
}
