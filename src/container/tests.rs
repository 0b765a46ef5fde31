//! Round trips and damage of every kind.

use super::*;

const FORM: FileForm = FileForm { family: "cipherlane test", version: Some("v2"), plain: Some("v1") };

fn bytes_of(parts: &[&[u8]]) -> Vec<u8> {
    let lengths: Vec<usize> = parts.iter().map(|part| part.len()).collect();
    pack(FORM, &"head", &lengths, |bytes| parts.iter().for_each(|part| bytes.extend_from_slice(part))).unwrap()
}

fn open(bytes: &[u8]) -> Result<Packed<'_, &[u8]>> {
    Packed::open(FORM, bytes, bytes.len() as u64, Path::new("file"))
}

fn parts_of(bytes: &[u8]) -> Result<Vec<Vec<u8>>> {
    let packed = open(bytes)?;
    assert_eq!(packed.head::<String>()?, "head");
    packed.read_parts(None)
}

/// Bytes that differ from block to block.
fn noise(length: usize) -> Vec<u8> {
    (0..length as u64).map(|i| (i.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 56) as u8).collect()
}

/// A file of the form before this one.
fn plain(head: &str, payload: &[u8]) -> Vec<u8> {
    let bytes = [b"cipherlane test v1\n", head.as_bytes(), b"\n", payload].concat();
    [&bytes[..], &Sha256::digest(&bytes)].concat()
}

#[test]
fn parts_survive_the_round_trip() {
    let long = noise(5 * BLOCK / 2);
    let exact = noise(2 * BLOCK);
    let cases: [&[&[u8]]; 7] =
        [&[], &[b""], &[b"", b"one", b"", b"two", b""], &[&long], &[&exact], &[b"x", &long, b"", &exact], &[&exact, &long[1..]]];
    for parts in cases {
        let bytes = bytes_of(parts);
        assert_eq!(bytes.capacity(), bytes.len(), "one allocation");
        assert_eq!(parts_of(&bytes).unwrap(), parts);
        let mut payload = Vec::new();
        let append = |piece: &[u8]| {
            payload.extend_from_slice(piece);
            Ok(())
        };
        open(&bytes).unwrap().read(append).unwrap();
        assert_eq!(payload, parts.concat());
    }
}

#[test]
fn every_changed_lost_or_added_byte_is_refused() {
    let bytes = bytes_of(&[b"first", b"", b"third"]);
    for at in 0..bytes.len() {
        for bit in 0..8 {
            let mut changed = bytes.clone();
            changed[at] ^= 1 << bit;
            assert!(parts_of(&changed).is_err(), "bit {bit} of byte {at}");
        }
        let dropped = [&bytes[..at], &bytes[at + 1..]].concat();
        let doubled = [&bytes[..=at], &bytes[at..]].concat();
        for damaged in [&bytes[..at], &dropped, &doubled] {
            let message = parts_of(damaged).map(drop).unwrap_err().to_string();
            assert!(message.starts_with("file: expected ") && !message.contains('\n'), "{at}: {message}");
        }
    }
    assert!(parts_of(&[&bytes[..], b"\0"].concat()).is_err());
}

#[test]
fn damage_in_any_block_is_found_and_nothing_of_its_piece_is_used() {
    let payload = noise(4 * BLOCK + 5);
    let good = bytes_of(&[&payload]);
    let front = good.len() - payload.len();
    for at in [0, BLOCK - 1, BLOCK, 2 * BLOCK, 4 * BLOCK, 4 * BLOCK + 4] {
        let mut bad = good.clone();
        bad[front + at] ^= 1;
        let mut taken = 0;
        let read = open(&bad).unwrap().read(|piece| {
            taken += piece.len();
            Ok(())
        });
        assert!(read.unwrap_err().to_string().contains("tampered or damaged") && taken <= at, "{at}: {taken}");
    }
    // The pieces before the damage are used before it is found, where there is more than one.
    let pieces = noise(BLOCK * (BLOCKS_OF_A_THREAD * rayon::current_num_threads() + 1));
    let mut bad = bytes_of(&[&pieces]);
    *bad.last_mut().unwrap() ^= 1;
    let mut taken = 0;
    let count = |piece: &[u8]| {
        taken += piece.len();
        Ok(())
    };
    assert!(open(&bad).unwrap().read(count).is_err());
    assert_eq!(taken, pieces.len() - BLOCK);
}

#[test]
fn blocks_keep_their_places() {
    let payload = noise(3 * BLOCK);
    let good = bytes_of(&[&payload]);
    let front = good.len() - payload.len();
    let leaves = front - 32 * 4;
    for (a, b) in [(0, 1), (0, 2), (1, 2)] {
        let swap = |bytes: &mut [u8], start: usize, size: usize| (0..size).for_each(|i| bytes.swap(start + a * size + i, start + b * size + i));
        let mut swapped = good.clone();
        swap(&mut swapped, front, BLOCK);
        assert!(parts_of(&swapped).unwrap_err().to_string().contains("tampered"));
        // With their leaves, too; and with a root that is right again.
        swap(&mut swapped, leaves, 32);
        assert!(parts_of(&swapped).is_err());
        let root = root(&swapped[..front - 32]);
        swapped[front - 32..front].copy_from_slice(&root);
        assert!(open(&swapped).is_ok() && parts_of(&swapped).unwrap_err().to_string().contains("tampered"), "a leaf binds its place");
    }
}

#[test]
fn a_leaf_is_no_root() {
    // Without different first words this block would have the digest of everything before the root.
    let good = bytes_of(&[b"part"]);
    let before = &good[..good.len() - 4 - 32];
    let (number, block) = before.split_first_chunk::<8>().unwrap();
    assert_ne!(leaf(u64::from_be_bytes(*number) as usize, block), root(before));
    assert_ne!(leaf(0, b""), leaf(1, b""));
    assert_ne!(leaf(0, b""), root(&[0; 8]));
}

#[test]
fn sizes_that_lie_are_refused_before_anything_is_allocated() {
    let good = bytes_of(&[b"part"]);
    let count = good.len() - 4 - 32 - 32 - 8 - 4;
    for (at, lie) in [
        (count, u32::MAX.to_be_bytes().to_vec()),
        (count, 0u32.to_be_bytes().to_vec()),
        (count, 2u32.to_be_bytes().to_vec()),
        (count + 4, u64::MAX.to_be_bytes().to_vec()),
        (count + 4, (1u64 << 50).to_be_bytes().to_vec()),
        (count + 4, 3u64.to_be_bytes().to_vec()),
    ] {
        let mut bad = good.clone();
        bad[at..at + lie.len()].copy_from_slice(&lie);
        // Whoever lies gives a root that fits.
        let end = bad.len() - 36;
        let root = root(&bad[..end]);
        bad[end..end + 32].copy_from_slice(&root);
        assert!(parts_of(&bad).is_err(), "{lie:?} at {at}");
    }
    assert!(open(&[b"cipherlane test v2\n", vec![b'x'; LONGEST_HEAD].as_slice(), b"\n"].concat()).is_err());
    assert!(pack(FORM, &"x".repeat(LONGEST_HEAD - 3), &[], |_| ()).is_ok());
    assert!(pack(FORM, &"x".repeat(LONGEST_HEAD - 2), &[], |_| ()).is_err());
    assert!(pack(FORM, &"x", &vec![0; MOST_PARTS + 1], |_| ()).is_err());
    assert!(matches!(pack(FORM, &"x", &[2], |bytes| bytes.push(0)), Err(Error::Size { expected: 2, actual: 1, .. })));
}

#[test]
fn other_files_and_other_spellings_are_told_apart() {
    let message = |bytes: &[u8]| parts_of(bytes).unwrap_err().to_string();
    assert_eq!(message(b"cipherlane test v3\n"), "file: expected `cipherlane test v2`, found another version of it; make the file again");
    assert_eq!(message(b"cipherlane tests v2\n"), "file: expected `cipherlane test v2`, found another kind of file");
    assert_eq!(message(b""), "file: expected `cipherlane test v2`, found another kind of file");
    let spaced = |head: &str| {
        let good = bytes_of(&[]);
        let rest = &good[b"cipherlane test v2\n\"head\"\n".len()..][..4];
        let before = [b"cipherlane test v2\n", head.as_bytes(), b"\n", rest].concat();
        [&before[..], &root(&before)].concat()
    };
    assert!(parts_of(&spaced("\"head\"")).is_ok());
    assert!(message(&spaced(" \"head\"")).contains("another spelling"));
    assert!(message(&spaced("{}")).contains("a header line"));
}

#[test]
fn the_form_with_one_digest_is_read_whole_before_it_is_used() {
    let read = |bytes: &[u8], lengths: Option<Vec<u64>>| open(bytes).and_then(|packed| packed.read_parts(lengths));
    let good = plain("\"head\"", b"onetwo");
    assert_eq!(read(&good, Some(vec![3, 0, 3])).unwrap(), [&b"one"[..], b"", b"two"]);
    for lengths in [None, Some(vec![]), Some(vec![3]), Some(vec![3, 4]), Some(vec![u64::MAX, 7])] {
        assert!(read(&good, lengths).is_err());
    }
    assert!(read(&bytes_of(&[b"part"]), Some(vec![4])).is_err(), "lengths stand in one place");
    for at in 0..good.len() {
        let mut bad = good.clone();
        bad[at] ^= 1;
        assert!(read(&bad, Some(vec![6])).is_err(), "{at}");
        assert!(read(&good[..at], Some(vec![6])).is_err(), "{at}");
    }
}
