//! Where to look for changes of a path: each folder on the way to it, symbolic links followed, and the name that matters there.
//!
//! A file that does not exist is found by the first name that is missing; an exchanged link or folder by its own name.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::ffi::{OsStr, OsString};
use std::fs;
use std::path::{Component, Path, PathBuf};

/// Links followed on one path before it counts as a loop, as in the kernel.
const LINKS_MAX: usize = 40;

/// Folders, and the names in each whose coming, going or changing matters.
pub(super) type Points = BTreeMap<PathBuf, BTreeSet<OsString>>;

/// Returns all points of a set of absolute paths.
pub(super) fn points_of<'a>(paths: impl Iterator<Item = &'a Path>) -> Points {
    let mut points = Points::new();
    for path in paths {
        add(path, &mut points);
    }
    points
}

fn add(path: &Path, points: &mut Points) {
    let mut folder = PathBuf::from("/");
    let mut rest: VecDeque<OsString> = parts(path).collect();
    let mut links = 0;
    while let Some(name) = rest.pop_front() {
        if name == ".." {
            // `folder` has no links in it any more, so its parent is the one meant.
            folder.pop();
            continue;
        }
        points.entry(folder.clone()).or_default().insert(name.clone());
        let here = folder.join(&name);
        let Ok(found) = fs::symlink_metadata(&here) else {
            return;
        };
        if found.is_symlink() {
            links += 1;
            let Ok(target) = fs::read_link(&here) else {
                return;
            };
            if links > LINKS_MAX {
                return;
            }
            if target.is_absolute() {
                folder = PathBuf::from("/");
            }
            for part in parts(&target).collect::<Vec<_>>().into_iter().rev() {
                rest.push_front(part);
            }
        } else if found.is_dir() {
            folder = here;
        } else {
            return;
        }
    }
}

/// The names of a path and `..`; neither the root nor `.`.
fn parts(path: &Path) -> impl Iterator<Item = OsString> {
    path.components().filter_map(|part| match part {
        Component::Normal(name) => Some(name.to_owned()),
        Component::ParentDir => Some(OsStr::new("..").to_owned()),
        Component::RootDir | Component::CurDir | Component::Prefix(_) => None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::symlink;

    #[test]
    fn every_name_on_the_way_counts_and_links_lead_to_theirs() {
        let root = std::env::temp_dir().join(format!("tend-points-{}", std::process::id()));
        fs::create_dir_all(root.join("..2026_1")).expect("own folder");
        let root = root.canonicalize().expect("it was just made");
        symlink("..2026_1", root.join("..data")).expect("own folder");
        symlink("..data/app.yml", root.join("app.yml")).expect("own folder");
        symlink("/proc/../loop", root.join("away")).expect("own folder");
        symlink("self", root.join("self")).expect("own folder");
        let names = |path: &str| {
            let points = points_of([root.join(path).as_path()].into_iter());
            let ours = points.into_iter().filter(|(folder, _)| folder.starts_with(&root));
            ours.map(|(folder, names)| {
                let folder = folder.strip_prefix(&root).expect("filtered").to_owned();
                (
                    folder,
                    names
                        .into_iter()
                        .map(|name| name.into_string().expect("ASCII"))
                        .collect::<Vec<_>>(),
                )
            })
            .collect::<Vec<_>>()
        };
        // The file behind the links is missing: its folder is watched for it.
        assert_eq!(
            names("app.yml"),
            [
                (
                    PathBuf::new(),
                    vec!["..2026_1".to_owned(), "..data".to_owned(), "app.yml".to_owned()]
                ),
                (PathBuf::from("..2026_1"), vec!["app.yml".to_owned()]),
            ]
        );
        assert_eq!(names("no/such/file"), [(PathBuf::new(), vec!["no".to_owned()])]);
        assert_eq!(names("self"), [(PathBuf::new(), vec!["self".to_owned()])]);
        let away = points_of([root.join("away").as_path()].into_iter());
        assert!(away[Path::new("/")].contains(OsStr::new("loop")));
        fs::remove_dir_all(&root).expect("own folder");
    }
}
