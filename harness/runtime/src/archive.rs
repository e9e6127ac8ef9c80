//! Files on their way into a container and out of it, as an archive: what `cp` carries.

use std::io;
use std::path::{Component, Path};

/// A file, or a folder with all that is in it, under that name.
///
/// # Errors
/// As the file system says.
pub fn pack(source: &Path, name: &str) -> io::Result<Vec<u8>> {
    let mut archive = tar::Builder::new(Vec::new());
    match source.is_dir() {
        true => archive.append_dir_all(name, source)?,
        false => archive.append_path_with_name(source, name)?,
    }
    archive.into_inner()
}

/// Unpacks into a folder; what the first name of each entry becomes there: `None` leaves it out.
///
/// # Errors
/// As the file system says, and for an entry that would lie outside.
pub fn unpack(archive: &[u8], folder: &Path, first: Option<&str>) -> io::Result<()> {
    for entry in tar::Archive::new(archive).entries()? {
        let mut entry = entry?;
        let path = entry.path()?.into_owned();
        let mut parts = path.components().filter(|part| *part != Component::CurDir);
        if path.components().any(|part| matches!(part, Component::ParentDir | Component::RootDir)) {
            return Err(io::Error::other(format!("{} would lie outside", path.display())));
        }
        parts.next();
        let place = first.map_or_else(|| folder.to_owned(), |first| folder.join(first));
        let rest: std::path::PathBuf = parts.collect();
        let place = if rest.as_os_str().is_empty() { place } else { place.join(rest) };
        if place == folder {
            continue;
        }
        if let Some(above) = place.parent() {
            std::fs::create_dir_all(above)?;
        }
        entry.unpack(place)?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;

    #[test]
    fn what_is_packed_is_there_under_its_new_name() {
        let (from, to) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        fs::create_dir(from.path().join("d")).unwrap();
        fs::write(from.path().join("d/file"), "text").unwrap();
        let folder = pack(&from.path().join("d"), "d").unwrap();
        unpack(&folder, to.path(), Some("other")).unwrap();
        assert_eq!(fs::read_to_string(to.path().join("other/file")).unwrap(), "text");
        unpack(&folder, to.path(), None).unwrap();
        assert_eq!(fs::read_to_string(to.path().join("file")).unwrap(), "text");
        let file = pack(&from.path().join("d/file"), "file").unwrap();
        unpack(&file, to.path(), Some("one")).unwrap();
        assert_eq!(fs::read_to_string(to.path().join("one")).unwrap(), "text");
    }
}
