//! Reading files of procfs without asking whether there is more after their end: for a table of
//! sockets the kernel would answer by walking those of all networks once more.

use std::io::{self, Read as _};

/// The smallest page that there is. The kernel gives whole rows for as long as there are any, until
/// one does not fit into a page.
const PAGE: usize = 4096;
/// No row is as long; those of `mountinfo` may be, which is not to be read here.
const ROW: usize = 512;

/// A whole file, whose rows are short or whose only row is one answer.
pub(crate) fn read(path: &str) -> io::Result<String> {
    let mut file = std::fs::File::open(path)?;
    let mut text = Vec::new();
    let mut part = [0; 1 << 14];
    loop {
        match file.read(&mut part) {
            Ok(count) => {
                text.extend_from_slice(&part[..count]);
                if is_last(count) {
                    break;
                }
            }
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(String::from_utf8_lossy(&text).into_owned())
}

/// True where a read that gave so many bytes came to the end.
fn is_last(count: usize) -> bool {
    count < PAGE - ROW
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_table_of_many_pages_is_read_to_its_end() {
        let listeners: Vec<_> = (0..300)
            .map(|_| std::net::TcpListener::bind("127.0.0.1:0").unwrap())
            .collect();
        let table = read("/proc/self/net/tcp").unwrap();
        for listener in &listeners {
            let row = format!("0100007F:{:04X} ", listener.local_addr().unwrap().port());
            assert!(table.contains(&row), "{row}");
        }
        assert!(table.ends_with('\n'), "no row is cut");
    }

    #[test]
    fn a_read_that_had_no_room_for_one_more_row_is_not_the_last() {
        for rest in [1, 150, ROW] {
            assert!(!is_last(PAGE - rest));
        }
        assert!(is_last(0));
        assert!(is_last(PAGE / 2));
    }
}
