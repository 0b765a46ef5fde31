//! Memory for batches: large ones in huge pages where the system has them. Tables are read here and there, and with pages of 4 KiB every row costs a walk through
//! the page tables: measured on a Sapphire-Rapids-class server in a virtual machine, a seventh of the time of an encryption with tables of 117 MiB.

use std::ops::{Deref, DerefMut};

use memmap2::MmapMut;
use zeroize::Zeroize;

use super::kernel::Line;

/// Bytes from which huge pages are asked for: a few of them.
const LARGE: usize = 8 << 20;

/// Lines that are zero at first. Wiped by [`Zeroize`], which owners call when they drop them.
pub(super) enum Lines {
    Heap(Vec<Line>),
    /// A mapping of its own, and how many lines of it are in use.
    Mapped(MmapMut, usize),
}

impl Lines {
    pub(super) fn zeros(count: usize) -> Self {
        if count * size_of::<Line>() >= LARGE
            && let Ok(map) = MmapMut::map_anon(count * size_of::<Line>())
        {
            // Advice: a system that does not take it is slower, or writes more to a core file.
            #[cfg(target_os = "linux")]
            {
                let _ = map.advise(memmap2::Advice::HugePage);
                let _ = map.advise(memmap2::Advice::DontDump);
            }
            return Self::Mapped(map, count);
        }
        Self::Heap(vec![Line::default(); count])
    }
}

impl Deref for Lines {
    type Target = [Line];

    fn deref(&self) -> &[Line] {
        match self {
            Self::Heap(lines) => lines,
            Self::Mapped(map, count) => &bytemuck::cast_slice(map)[..*count],
        }
    }
}

impl DerefMut for Lines {
    fn deref_mut(&mut self) -> &mut [Line] {
        match self {
            Self::Heap(lines) => lines,
            Self::Mapped(map, count) => &mut bytemuck::cast_slice_mut(map)[..*count],
        }
    }
}

impl From<Vec<Line>> for Lines {
    fn from(lines: Vec<Line>) -> Self {
        Self::Heap(lines)
    }
}

impl Zeroize for Lines {
    fn zeroize(&mut self) {
        self.deref_mut().zeroize();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn small_and_large_memory_is_zero_and_can_be_written() {
        for count in [0, 1, 100, LARGE / 64 - 1, LARGE / 64, LARGE / 64 + 77] {
            let mut lines = Lines::zeros(count);
            assert_eq!(lines.len(), count);
            assert_eq!(matches!(lines, Lines::Mapped(..)), count * 64 >= LARGE);
            assert!(lines.iter().all(|line| *line == Line::default()));
            if let Some(last) = lines.last_mut() {
                last.0[7] = 5;
                assert_eq!(lines[count - 1].0[7], 5);
                lines.zeroize();
                assert_eq!(lines[count - 1].0[7], 0);
            }
        }
    }
}
