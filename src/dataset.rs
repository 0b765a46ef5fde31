//! Labelled grey-scale images: MNIST where it is to be had, embedded digits everywhere.
//!
//! [`DatasetChoice`] is what the user asks for, [`Dataset`] what there is. MNIST is known by the SHA-256 of its uncompressed files, never by a name:
//! a folder with other content is [`DatasetId::Other`] and says so. Only the test set is read on opening; [`Dataset::training`] reads the rest.

pub mod digits;
pub mod fetch;
pub mod idx;
mod images;

pub use images::Images;

use std::env;
use std::fmt;
use std::path::{Path, PathBuf};
use std::str::FromStr;

use crate::control::Control;
use crate::description::Description;
use crate::error::{Error, Result, near};
use fetch::{Limits, Part, Progress, Published};

/// Environment variable that names the folder with the MNIST files.
pub const DATA_VARIABLE: &str = "CIPHERLANE_DATA";
/// Environment variable that forbids the network when it is set to anything but nothing or `0`.
pub const OFFLINE_VARIABLE: &str = "CIPHERLANE_OFFLINE";

/// What a dataset is.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum DatasetId {
    /// The published MNIST, checked by SHA-256.
    Mnist,
    /// The embedded digits.
    Digits,
    /// Other files in a folder of this name, in the letters `A-Za-z0-9._-`.
    Other(String),
}

impl fmt::Display for DatasetId {
    /// The name in records: `mnist`, `digits` or `other:NAME`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Mnist => f.write_str("mnist"),
            Self::Digits => f.write_str("digits"),
            Self::Other(name) => write!(f, "other:{name}"),
        }
    }
}

/// Which dataset the user asks for; its text form is `auto`, `mnist`, `digits` or a folder.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum DatasetChoice {
    /// MNIST where it is here or quickly fetched, else the digits.
    #[default]
    Auto,
    /// MNIST from this machine.
    Mnist,
    /// The embedded digits.
    Digits,
    /// The files in a folder; `./mnist` for one of that name.
    Dir(PathBuf),
}

impl FromStr for DatasetChoice {
    type Err = Error;

    /// Any text but nothing names a dataset.
    fn from_str(text: &str) -> Result<Self> {
        match text {
            "auto" => Ok(Self::Auto),
            "mnist" => Ok(Self::Mnist),
            "digits" => Ok(Self::Digits),
            "" => Err(Error::unknown("dataset", "", "auto, mnist, digits or a folder")),
            dir => Ok(Self::Dir(dir.into())),
        }
    }
}

impl fmt::Display for DatasetChoice {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Auto => f.write_str("auto"),
            Self::Mnist => f.write_str("mnist"),
            Self::Digits => f.write_str("digits"),
            Self::Dir(dir) => dir.display().fmt(f),
        }
    }
}

impl DatasetChoice {
    /// Opens the dataset and reads its test set. Only [`DatasetChoice::Auto`] uses the network, for at most about 20 seconds, and not if `offline` is
    /// set or [`OFFLINE_VARIABLE`] says so; [`Dataset::note`] tells what it came to and why. `progress` and `control` are as in [`fetch::fetch`].
    ///
    /// # Errors
    /// [`Error::DatasetMissing`] when the files are not there, [`Error::File`] or [`Error::Io`] when they are but cannot be read,
    /// [`Error::Interrupted`] when `control` was stopped. `Auto` fails only in the last case.
    pub fn open(&self, offline: bool, progress: &dyn Fn(Progress<'_>), control: &Control) -> Result<Dataset> {
        match self {
            Self::Digits => Dataset::digits(String::new()),
            Self::Dir(dir) => Dataset::read(dir),
            Self::Mnist => local_mnist(&places())?.map_err(|places| Error::DatasetMissing {
                dataset: "MNIST".into(),
                searched: places.join("; "),
                advice: format!("set {DATA_VARIABLE} to the folder of its files"),
            }),
            Self::Auto => {
                let offline = offline || env::var_os(OFFLINE_VARIABLE).is_some_and(|v| !v.is_empty() && v != "0");
                let fetch = |dir: &Path| fetch::fetch(dir, Part::Test, Limits::QUICK, progress, control).map(|_| ());
                auto(&places(), cache_dir().filter(|_| !offline).as_deref(), &fetch)
            }
        }
    }
}

/// The folder of this user where downloads are kept, where the system has one.
#[must_use]
pub fn cache_dir() -> Option<PathBuf> {
    directories::ProjectDirs::from("", "", "cipherlane").map(|dirs| dirs.cache_dir().join("mnist"))
}

/// The folders where MNIST is looked for, in order: [`DATA_VARIABLE`], then [`cache_dir`].
#[must_use]
pub fn places() -> Vec<PathBuf> {
    env::var_os(DATA_VARIABLE).filter(|v| !v.is_empty()).map(PathBuf::from).into_iter().chain(cache_dir()).collect()
}

/// MNIST from the first of `places` that has it, else why each has not.
fn local_mnist(places: &[PathBuf]) -> Result<std::result::Result<Dataset, Vec<String>>> {
    let mut reasons = Vec::new();
    for dir in places {
        match Dataset::read(dir) {
            Ok(dataset) if dataset.id == DatasetId::Mnist => return Ok(Ok(dataset)),
            Ok(_) => reasons.push(format!("{} holds another dataset", dir.display())),
            Err(Error::DatasetMissing { searched, .. }) => reasons.push(searched),
            Err(Error::Interrupted) => return Err(Error::Interrupted),
            Err(e) => reasons.push(e.to_string()),
        }
    }
    if places.is_empty() {
        reasons.push(format!("neither {DATA_VARIABLE} nor a cache folder is set"));
    }
    Ok(Err(reasons))
}

/// [`DatasetChoice::Auto`] with its surroundings as parameters; `cache` is `None` where nothing may be fetched.
fn auto(places: &[PathBuf], cache: Option<&Path>, fetch: &dyn Fn(&Path) -> Result<()>) -> Result<Dataset> {
    let mut reasons = match local_mnist(places)? {
        Ok(dataset) => return Ok(dataset),
        Err(reasons) => reasons,
    };
    match cache.map(|dir| fetch(dir).and_then(|()| Dataset::read(dir))) {
        Some(Ok(dataset)) => return Ok(Dataset { note: "just downloaded".into(), ..dataset }),
        Some(Err(Error::Interrupted)) => return Err(Error::Interrupted),
        Some(Err(e)) => reasons.push(e.to_string()),
        None => reasons.push("nothing may be downloaded".into()),
    }
    Dataset::digits(format!("no MNIST: {}", reasons.join("; ")))
}

/// A dataset whose test set has been read.
#[derive(Clone, Debug)]
pub struct Dataset {
    /// What it is.
    pub id: DatasetId,
    /// The test set.
    pub test: Images,
    /// SHA-256 of the test images as an uncompressed IDX file, 64 hex digits.
    pub sha256: String,
    /// What it is and where it is from, for people: `MNIST test set, 10000 images from DIR`.
    pub origin: String,
    /// Why this dataset was chosen, for people; one line, or nothing where it was asked for.
    pub note: String,
    /// Where the training set is: a folder and the names in it, or `None` for the embedded one.
    folder: Option<(PathBuf, Naming)>,
}

impl Dataset {
    /// Reads the test set in `dir`: files of MNIST's names or EMNIST's, in any spelling, plain or
    /// gzip, where they were put or where torchvision and archives put them.
    ///
    /// # Errors
    /// [`Error::DatasetMissing`] when a file is not there, [`Error::File`] when it is malformed or
    /// there twice with different contents, [`Error::Io`] when it cannot be read.
    pub fn read(dir: &Path) -> Result<Self> {
        let set = FileSet::read(dir, None, fetch::TEST_IMAGES, fetch::TEST_LABELS)?;
        let (count, place) = (set.images.len(), dir.display());
        let (id, origin) = match set.naming {
            Naming::Mnist if set.is_published => (DatasetId::Mnist, format!("MNIST test set, {count} images from {place}")),
            Naming::Mnist => {
                let origin = format!("{count} test images from {place}, not MNIST by their SHA-256");
                (DatasetId::Other(folder_name(dir)), origin)
            }
            Naming::Emnist(part) => {
                let origin = format!("EMNIST {part} by their names, {count} test images from {place}, turned upright");
                (DatasetId::Other(format!("emnist-{part}")), origin)
            }
        };
        let folder = Some((dir.to_path_buf(), set.naming));
        Ok(Self { id, test: set.images, sha256: set.sha256, origin, note: String::new(), folder })
    }

    /// The embedded digits, chosen for the reason `note`.
    ///
    /// # Errors
    /// As [`digits::test`].
    pub fn digits(note: String) -> Result<Self> {
        let test = digits::test()?;
        let origin =
            format!("embedded digits, the last {} of {} images, CC BY 4.0, doi:10.24432/C50P49", test.len(), digits::TRAINING + digits::TEST);
        Ok(Self { id: DatasetId::Digits, test, sha256: digits::SHA256.into(), origin, note, folder: None })
    }

    /// What it is known by. For files of a folder that are not MNIST's the training images are read
    /// for their digest, where they are there.
    #[must_use]
    pub fn description(&self) -> Description {
        let training_sha256 = match (&self.id, &self.folder) {
            (DatasetId::Mnist, _) => fetch::TRAINING_IMAGES.sha256.to_owned(),
            (DatasetId::Digits, _) => digits::TRAINING_SHA256.to_owned(),
            (DatasetId::Other(_), folder) => {
                let digest = |(dir, naming): &(PathBuf, Naming)| match naming {
                    Naming::Mnist => {
                        let path = find(dir, fetch::TRAINING_IMAGES.name).ok().flatten()?;
                        idx::digest(&path, idx::MAX_FILE_BYTES).ok().map(|(sha256, _)| sha256)
                    }
                    Naming::Emnist(_) => self.training().ok().map(|images| images.sha256()),
                };
                folder.as_ref().and_then(digest).unwrap_or_default()
            }
        };
        let Images { rows, cols, max_pixel: white, .. } = self.test;
        Description { dataset: self.id.to_string(), dataset_sha256: self.sha256.clone(), training_sha256, rows, cols, white }
    }

    /// Reads the training set.
    ///
    /// # Errors
    /// As [`Dataset::read`]; also [`Error::File`] when its images differ in size from the test images, or when the test set is MNIST's and this is
    /// not.
    pub fn training(&self) -> Result<Images> {
        let Some((dir, naming)) = &self.folder else { return digits::training() };
        let set = FileSet::read(dir, Some(*naming), fetch::TRAINING_IMAGES, fetch::TRAINING_LABELS)?;
        if self.id == DatasetId::Mnist && !set.is_published {
            let expected =
                format!("MNIST's training set ({} with SHA-256 {}, and its labels)", fetch::TRAINING_IMAGES.name, fetch::TRAINING_IMAGES.sha256);
            return Err(Error::file(dir, expected, format!("{} with SHA-256 {}, or other labels", fetch::TRAINING_IMAGES.name, set.sha256)));
        }
        let size = |images: &Images| format!("training images of {}x{}", images.rows, images.cols);
        if size(&set.images) != size(&self.test) {
            return Err(Error::file(dir, format!("{}, as in the test set", size(&self.test)), size(&set.images)));
        }
        Ok(set.images)
    }
}

/// How the files of a dataset are called.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Naming {
    /// As MNIST's.
    Mnist,
    /// As those of a part of EMNIST, whose images are stored column by column.
    Emnist(&'static str),
}

impl Naming {
    /// All that are known, the one to prefer first. EMNIST's other parts have more classes than
    /// ten.
    const ALL: [Self; 3] = [Self::Mnist, Self::Emnist("digits"), Self::Emnist("mnist")];

    /// The name of a file, from its name in MNIST.
    fn name(self, file: Published) -> String {
        match self {
            Self::Mnist => file.name.into(),
            Self::Emnist(part) => format!("emnist-{part}-{}", file.name.replacen("t10k", "test", 1)),
        }
    }
}

/// One file of images with its labels.
struct FileSet {
    naming: Naming,
    images: Images,
    sha256: String,
    is_published: bool,
}

impl FileSet {
    /// Reads a set under its naming, or the first one that is there.
    fn read(dir: &Path, naming: Option<Naming>, images: Published, labels: Published) -> Result<Self> {
        let is_there = |naming: &Naming| !idx::candidates(dir, &naming.name(images)).is_empty();
        let naming = naming.or_else(|| Naming::ALL.into_iter().find(is_there)).unwrap_or(Naming::Mnist);
        let path = |file: Published| find(dir, &naming.name(file))?.ok_or_else(|| missing(dir, &naming.name(file)));
        let (image_path, label_path) = (path(images)?, path(labels)?);
        let (image_file, label_file) = (idx::read_images(&image_path)?, idx::read_labels(&label_path)?);
        let is_published = image_file.sha256 == images.sha256 && label_file.sha256 == labels.sha256;
        let sha256 = image_file.sha256.clone();
        let images = image_file.with_labels(label_file, u8::MAX, &image_path, &label_path)?;
        Ok(match naming {
            Naming::Mnist => Self { naming, images, sha256, is_published },
            Naming::Emnist(_) => {
                let images = images.transposed();
                Self { naming, sha256: images.sha256(), images, is_published }
            }
        })
    }
}

/// The file in `dir` that is called `name`. Several are one file only where their contents are
/// equal.
fn find(dir: &Path, name: &str) -> Result<Option<PathBuf>> {
    let mut found = idx::candidates(dir, name).into_iter();
    let Some(first) = found.next() else { return Ok(None) };
    let digest = |path: &Path| idx::digest(path, idx::MAX_FILE_BYTES).map(|(sum, _)| sum);
    let mut sum = None;
    for other in found {
        if sum.is_none() {
            sum = Some(digest(&first)?);
        }
        if sum != Some(digest(&other)?) {
            return Err(Error::file(&other, format!("the content of {}", first.display()), "another; remove one of them"));
        }
    }
    Ok(Some(first))
}

/// The error that there is no file of that name, with what is there.
fn missing(dir: &Path, name: &str) -> Error {
    let (known, place) = (["auto", "mnist", "digits"], dir.display());
    let (searched, guess) = if dir.is_dir() {
        (format!("no {name}[.gz] in {place}, {}", holdings(dir)), String::new())
    } else if dir.exists() {
        (format!("{place} is a file"), String::new())
    } else {
        (format!("no folder {place}"), near(&dir.to_string_lossy(), &known))
    };
    let advice = format!("--dataset takes {} or a folder with the IDX files of MNIST or of EMNIST's digits{guess}", known.join(", "));
    Error::DatasetMissing { dataset: "dataset".into(), searched, advice }
}

/// The first names in a folder, for people.
fn holdings(dir: &Path) -> String {
    const SHOWN: usize = 4;
    let entries = std::fs::read_dir(dir).into_iter().flatten().flatten();
    let mut names: Vec<String> = entries.map(|entry| entry.file_name().to_string_lossy().into_owned()).collect();
    names.sort();
    match names.len() {
        0 => "which is empty".into(),
        count if count > SHOWN => format!("which holds {} and {} more", names[..SHOWN].join(", "), count - SHOWN),
        _ => format!("which holds {}", names.join(", ")),
    }
}

/// The last part of a folder's path, in letters that fit a record.
fn folder_name(dir: &Path) -> String {
    let full = dir.canonicalize().unwrap_or_else(|_| dir.to_path_buf());
    let name = full.file_name().unwrap_or(full.as_os_str()).to_string_lossy();
    name.chars().map(|c| if c.is_ascii_alphanumeric() || "._-".contains(c) { c } else { '-' }).collect()
}

#[cfg(test)]
mod tests {
    use std::cell::RefCell;

    use super::*;

    /// The folder with the real MNIST files, where there is one.
    fn mnist_dir() -> Option<PathBuf> {
        let dir = env::var_os(DATA_VARIABLE).map_or_else(|| Path::new(env!("CARGO_MANIFEST_DIR")).join("../shared/mnist"), PathBuf::from);
        let found = find(&dir, fetch::TEST_IMAGES.name).unwrap().map(|_| dir);
        if found.is_none() {
            println!("skipped: no MNIST");
        }
        found
    }

    /// `count` images of 2x2 pixels with labels 0, 1, 2, …
    fn small(count: u8) -> Images {
        Images { rows: 2, cols: 2, max_pixel: 255, pixels: (0..4 * count).collect(), labels: (0..count).map(|i| i % 10).collect() }
    }

    fn write(dir: &Path, names: [&str; 2], images: &Images) {
        std::fs::create_dir_all(dir).unwrap();
        std::fs::write(dir.join(names[0]), idx::encode_images(images).unwrap()).unwrap();
        std::fs::write(dir.join(names[1]), idx::encode_labels(&images.labels).unwrap()).unwrap();
    }

    const TEST_NAMES: [&str; 2] = ["t10k-images.idx3-ubyte", "t10k-labels-idx1-ubyte"];
    const TRAINING_NAMES: [&str; 2] = ["train-images-idx3-ubyte", "train-labels.idx1-ubyte"];

    #[test]
    fn choices_have_a_text_form() {
        for (text, choice) in [("auto", DatasetChoice::Auto), ("mnist", DatasetChoice::Mnist), ("digits", DatasetChoice::Digits)] {
            assert_eq!(text.parse::<DatasetChoice>().unwrap(), choice);
            assert_eq!(choice.to_string(), text);
        }
        assert_eq!("./mnist".parse::<DatasetChoice>().unwrap(), DatasetChoice::Dir("./mnist".into()));
        assert!("".parse::<DatasetChoice>().is_err());
    }

    #[test]
    fn mnist_is_known_by_its_content() {
        let Some(dir) = mnist_dir() else { return };
        let dataset = DatasetChoice::Dir(dir.clone()).open(true, &|_| {}, &Control::default()).unwrap();
        assert_eq!(dataset.id, DatasetId::Mnist);
        assert_eq!((dataset.test.len(), dataset.test.rows, dataset.test.cols), (10_000, 28, 28));
        assert_eq!(dataset.test.labels[..5], [7, 2, 1, 0, 4]);
        assert_eq!(dataset.sha256, fetch::TEST_IMAGES.sha256);
        assert_eq!(dataset.origin, format!("MNIST test set, 10000 images from {}", dir.display()));
        let training = dataset.training().unwrap();
        assert_eq!((training.len(), training.labels[..5].to_vec()), (60_000, vec![5, 0, 4, 1, 9]));

        // Beside another training set it is refused, with other labels it is no MNIST.
        let other = tempfile::tempdir().unwrap();
        let copy = |name| std::fs::copy(find(&dir, name).unwrap().unwrap(), other.path().join(name)).unwrap();
        copy(fetch::TEST_IMAGES.name);
        copy(fetch::TEST_LABELS.name);
        write(other.path(), TRAINING_NAMES, &small(3));
        let mixed = Dataset::read(other.path()).unwrap();
        assert_eq!(mixed.id, DatasetId::Mnist);
        assert!(mixed.training().unwrap_err().to_string().contains("expected MNIST's training set"));
        std::fs::write(other.path().join(fetch::TEST_LABELS.name), idx::encode_labels(&vec![0; 10_000]).unwrap()).unwrap();
        assert!(matches!(Dataset::read(other.path()).unwrap().id, DatasetId::Other(_)));
    }

    #[test]
    fn the_published_sums_are_right() {
        let Some(dir) = mnist_dir() else { return };
        for file in [fetch::TEST_IMAGES, fetch::TEST_LABELS, fetch::TRAINING_IMAGES, fetch::TRAINING_LABELS] {
            assert_eq!(idx::digest(&find(&dir, file.name).unwrap().unwrap(), file.bytes).unwrap(), (file.sha256.to_string(), file.bytes));
        }
    }

    #[test]
    fn another_folder_says_that_it_is_no_mnist() {
        let dir = tempfile::tempdir().unwrap();
        let folder = dir.path().join("my, digits");
        write(&folder, TEST_NAMES, &small(5));
        let dataset = Dataset::read(&folder).unwrap();
        assert_eq!(dataset.id.to_string(), "other:my--digits");
        assert_eq!(dataset.test, small(5));
        assert_eq!(dataset.origin, format!("5 test images from {}, not MNIST by their SHA-256", folder.display()));

        assert!(matches!(dataset.training(), Err(Error::DatasetMissing { .. })));
        write(&folder, TRAINING_NAMES, &small(7));
        assert_eq!(dataset.training().unwrap(), small(7));
        write(&folder, TRAINING_NAMES, &Images { rows: 1, cols: 4, ..small(7) });
        let message = dataset.training().unwrap_err().to_string();
        assert!(message.contains("of 2x2, as in the test set, found training images of 1x4"), "{message}");
    }

    #[test]
    fn missing_files_are_named() {
        let dir = tempfile::tempdir().unwrap();
        let message = Dataset::read(dir.path()).unwrap_err().to_string();
        assert!(message.contains("no t10k-images-idx3-ubyte[.gz] in") && message.contains("which is empty"), "{message}");
        for name in ["test.csv", "a.npz", "d", "c", "emnist-letters-test-images-idx3-ubyte"] {
            std::fs::write(dir.path().join(name), b"x").unwrap();
        }
        let message = Dataset::read(dir.path()).unwrap_err().to_string();
        assert!(message.contains("which holds a.npz, c, d, emnist-letters-test-images-idx3-ubyte and 1 more"), "{message}");
        let message = Dataset::read(&dir.path().join("a.npz")).unwrap_err().to_string();
        assert!(message.contains("a.npz is a file"), "{message}");
        let message = Dataset::read(Path::new("minst")).unwrap_err().to_string();
        assert!(message.contains("no folder minst") && message.ends_with("did you mean `mnist`?"), "{message}");
    }

    #[test]
    fn files_are_found_where_other_programs_put_them() {
        let dir = tempfile::tempdir().unwrap();
        let torchvision = dir.path().join("data/MNIST/raw");
        write(&torchvision, TEST_NAMES, &small(5));
        for root in ["data", "data/MNIST", "data/MNIST/raw"] {
            assert_eq!(Dataset::read(&dir.path().join(root)).unwrap().test, small(5), "{root}");
        }
        let unpacked = dir.path().join("unpacked");
        write(&unpacked.join(TEST_NAMES[0]), TEST_NAMES, &small(6));
        std::fs::remove_file(unpacked.join(TEST_NAMES[0]).join(TEST_NAMES[1])).unwrap();
        write(&unpacked.join(TEST_NAMES[1]), TEST_NAMES, &small(6));
        std::fs::remove_file(unpacked.join(TEST_NAMES[1]).join(TEST_NAMES[0])).unwrap();
        assert_eq!(Dataset::read(&unpacked).unwrap().test, small(6));
    }

    #[test]
    fn the_digits_of_emnist_are_turned_upright() {
        let dir = tempfile::tempdir().unwrap();
        let stored = Images { rows: 2, cols: 3, max_pixel: 255, pixels: (0..12).collect(), labels: vec![9, 0] };
        let names = |part: &str, set: &str| ["images-idx3", "labels-idx1"].map(|file| format!("emnist-{part}-{set}-{file}-ubyte"));
        let put = |part: &str, set: &str, images: &Images| {
            let [images_name, labels_name] = names(part, set);
            write(&dir.path().join("gzip"), [&images_name, &labels_name], images);
        };
        put("mnist", "test", &small(5));
        put("mnist", "train", &small(5));
        put("digits", "test", &stored);
        let dataset = Dataset::read(dir.path()).unwrap();
        assert_eq!((dataset.test.rows, dataset.test.cols), (3, 2));
        assert_eq!(dataset.test.pixels, [0, 3, 1, 4, 2, 5, 6, 9, 7, 10, 8, 11]);
        assert_eq!(dataset.id.to_string(), "other:emnist-digits");
        assert!(dataset.origin.contains("EMNIST digits") && dataset.origin.contains("turned upright"), "{}", dataset.origin);
        // The training set of another part does not belong to it.
        let message = dataset.training().unwrap_err().to_string();
        assert!(message.contains("no emnist-digits-train-images-idx3-ubyte[.gz]"), "{message}");
        put("digits", "train", &stored);
        assert_eq!(dataset.training().unwrap(), dataset.test);
        // It is known by the images as they are used, and so as who has stored them row by row.
        let upright = dir.path().join("upright");
        write(&upright, TEST_NAMES, &dataset.test);
        write(&upright, TRAINING_NAMES, &dataset.test);
        let same = Dataset::read(&upright).unwrap();
        assert_eq!((&same.sha256, &same.test.sha256()), (&dataset.sha256, &dataset.sha256));
        assert_eq!(same.description().training_sha256, dataset.description().training_sha256);
    }

    #[test]
    fn two_files_of_one_name_must_be_equal() {
        let dir = tempfile::tempdir().unwrap();
        write(dir.path(), TEST_NAMES, &small(5));
        let other = dir.path().join("raw");
        write(&other, ["t10k-images-idx3-ubyte.gz", TEST_NAMES[1]], &small(5));
        assert_eq!(Dataset::read(dir.path()).unwrap().test, small(5));
        write(dir.path(), ["t10k-images-idx3-ubyte.gz", TEST_NAMES[1]], &small(5));
        assert_eq!(Dataset::read(dir.path()).unwrap().test, small(5));
        write(dir.path(), [TEST_NAMES[0], TEST_NAMES[1]], &Images { pixels: vec![1; 20], ..small(5) });
        let message = Dataset::read(dir.path()).unwrap_err().to_string();
        assert!(message.contains("ubyte: expected the content of") && message.ends_with("another; remove one of them"), "{message}");
    }

    #[test]
    fn auto_falls_back_to_the_digits_and_says_why() {
        let dir = tempfile::tempdir().unwrap();
        let (other, cache) = (dir.path().join("other"), dir.path().join("cache"));
        write(&other, TEST_NAMES, &small(5));
        let asked = RefCell::new(Vec::new());
        let fetch = |to: &Path| {
            asked.borrow_mut().push(to.to_path_buf());
            Err(Error::Download { url: "x.gz".into(), problem: "no route".into() })
        };
        let dataset = auto(&[other.clone(), cache.clone()], Some(&cache), &fetch).unwrap();
        assert_eq!((dataset.id, dataset.test.len()), (DatasetId::Digits, 599));
        for words in ["other holds another dataset", "no folder", "cannot download x.gz: no route"] {
            assert!(dataset.note.contains(words), "{}", dataset.note);
        }
        assert_eq!(*asked.borrow(), [cache]);

        let dataset = auto(&[], None, &fetch).unwrap();
        assert!(dataset.note.contains("nothing may be downloaded"), "{}", dataset.note);
        assert_eq!(asked.borrow().len(), 1);

        // A damaged file is a reason, not a failure.
        std::fs::write(other.join(TEST_NAMES[1]), b"x").unwrap();
        assert!(auto(&[other], None, &fetch).unwrap().note.contains("expected an IDX header"));
        assert!(matches!(auto(&[], Some(dir.path()), &|_| Err(Error::Interrupted)), Err(Error::Interrupted)));
    }

    #[test]
    fn auto_takes_what_is_here_then_what_it_fetched() {
        let Some(mnist) = mnist_dir() else { return };
        let never = |_: &Path| -> Result<()> { panic!("MNIST is here, nothing is to be fetched") };
        let dataset = auto(std::slice::from_ref(&mnist), Some(Path::new("cache")), &never).unwrap();
        assert_eq!((dataset.id, dataset.note), (DatasetId::Mnist, String::new()));

        let cache = tempfile::tempdir().unwrap();
        let copy = |to: &Path| {
            for file in [fetch::TEST_IMAGES, fetch::TEST_LABELS] {
                std::fs::copy(find(&mnist, file.name).unwrap().unwrap(), to.join(file.name)).unwrap();
            }
            Ok(())
        };
        let dataset = auto(&[], Some(cache.path()), &copy).unwrap();
        assert_eq!(dataset.id, DatasetId::Mnist);
        assert_eq!(dataset.note, "just downloaded");
    }

    #[test]
    fn the_digits_have_a_training_set() {
        let dataset = DatasetChoice::Digits.open(true, &|_| {}, &Control::default()).unwrap();
        assert_eq!((dataset.id.to_string(), dataset.test.len(), dataset.training().unwrap().len()), ("digits".into(), 599, 1198));
    }
}
