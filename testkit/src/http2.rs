//! A minimal client of HTTP/2, which can reset streams: many requests at once on one connection
//! (RFC 9113, RFC 7541).

use std::collections::BTreeMap;
use std::io::{self, Read, Write};
use std::net::{Ipv4Addr, TcpStream};

use crate::process::PATIENCE;

/// A connection with a number of streams.
#[derive(Debug)]
pub struct Connection {
    stream: TcpStream,
    /// The number of open streams, and the statuses of the others.
    open: usize,
    next: u32,
    answers: BTreeMap<u32, u16>,
}

const DATA: u8 = 0;
const HEADERS: u8 = 1;
const RST_STREAM: u8 = 3;
const SETTINGS: u8 = 4;
const GOAWAY: u8 = 7;
const WINDOW_UPDATE: u8 = 8;

const ACK: u8 = 1;
const END_STREAM: u8 = 1;
const END_HEADERS: u8 = 4;

/// RFC 9113, section 6.5.2.
const HEADER_TABLE_SIZE: u8 = 1;

/// RFC 9113, section 7.
const CANCEL: u32 = 8;

impl Connection {
    /// Connects to a port of this machine that speaks HTTP/2 without TLS.
    pub fn open(port: u16) -> Connection {
        let stream = TcpStream::connect((Ipv4Addr::LOCALHOST, port)).expect("a connection");
        stream.set_read_timeout(Some(PATIENCE)).expect("a limit");
        stream.set_nodelay(true).expect("no delay");
        let mut connection = Connection {
            stream,
            open: 0,
            next: 1,
            answers: BTreeMap::new(),
        };
        let preface = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
        connection.stream.write_all(preface).expect("the preface");
        // The server's table of header fields has no room, so that each block is complete.
        connection.send(SETTINGS, 0, 0, &[0, HEADER_TABLE_SIZE, 0, 0, 0, 0]);
        // No answer has to wait for a window update.
        connection.send(WINDOW_UPDATE, 0, 0, &(1_u32 << 30).to_be_bytes());
        connection
    }

    /// Sends a GET; returns the id of its stream.
    pub fn get(&mut self, path: &str) -> u32 {
        let id = self.next;
        self.next += 2;
        self.open += 1;
        // RFC 7541, appendix A: `:method: GET`, `:scheme: http`, and by index 4 `:path`, by
        // index 1 `:authority`, as literals without indexing.
        let mut block = vec![0x82, 0x86];
        for (index, value) in [(4, path), (1, "gateway.example")] {
            block.push(index);
            block.push(u8::try_from(value.len()).expect("a short value"));
            block.extend(value.as_bytes());
        }
        self.send(HEADERS, END_STREAM | END_HEADERS, id, &block);
        id
    }

    /// Resets a stream.
    pub fn reset(&mut self, id: u32) {
        self.open -= 1;
        self.send(RST_STREAM, 0, id, &CANCEL.to_be_bytes());
    }

    /// Waits until all streams have ended; returns the number of streams for each status. 0 is
    /// a reset.
    pub fn finish(mut self) -> BTreeMap<u16, usize> {
        while self.open > 0 {
            self.receive().expect("a frame");
        }
        let mut counts = BTreeMap::new();
        for status in self.answers.values() {
            *counts.entry(*status).or_default() += 1;
        }
        counts
    }

    fn receive(&mut self) -> io::Result<()> {
        let mut head = [0; 9];
        self.stream.read_exact(&mut head)?;
        let [a, b, c, kind, flags, id @ ..] = head;
        let mut payload = vec![0; u32::from_be_bytes([0, a, b, c]) as usize];
        self.stream.read_exact(&mut payload)?;
        let id = u32::from_be_bytes(id);
        match kind {
            HEADERS if !self.answers.contains_key(&id) => {
                self.answers.insert(id, status(&payload));
            }
            RST_STREAM => {
                self.answers.insert(id, 0);
                self.open -= 1;
            }
            SETTINGS if flags & ACK == 0 => self.send(SETTINGS, ACK, 0, &[]),
            GOAWAY => return Err(io::Error::other("the server goes away")),
            _ => {}
        }
        if matches!(kind, HEADERS | DATA) && flags & END_STREAM != 0 {
            self.open -= 1;
        }
        Ok(())
    }

    fn send(&mut self, kind: u8, flags: u8, id: u32, payload: &[u8]) {
        let length = u32::try_from(payload.len()).expect("a short frame");
        let mut frame = length.to_be_bytes()[1..].to_vec();
        frame.extend([kind, flags]);
        frame.extend(id.to_be_bytes());
        frame.extend(payload);
        self.stream.write_all(&frame).expect("a frame");
    }
}

/// The status, which is the first field of a block. RFC 7541, appendix A: indices 8 to 14 are
/// whole fields; by index 8 comes the name with a status as a literal of three digits, in
/// Huffman's code (appendix B: 0 to 2 have five bits, the others six) or without.
fn status(block: &[u8]) -> u16 {
    const INDEXED: [u16; 7] = [200, 204, 206, 304, 400, 404, 500];
    // The new size of the table comes first (section 6.3).
    let start = block.iter().position(|byte| *byte != 0x20);
    let block = &block[start.expect("a field")..];
    match block {
        [index @ 0x88..=0x8e, ..] => INDEXED[usize::from(index - 0x88)],
        [0x08 | 0x18 | 0x48, length, text @ ..] => {
            let text = &text[..usize::from(length & 0x7f)];
            match length & 0x80 {
                0 => std::str::from_utf8(text)
                    .expect("digits")
                    .parse()
                    .expect("a status"),
                _ => digits(text),
            }
        }
        other => panic!("no status: {other:?}"),
    }
}

fn digits(huffman: &[u8]) -> u16 {
    let bits: Vec<u8> = huffman
        .iter()
        .flat_map(|byte| (0..8).rev().map(move |n| byte >> n & 1))
        .collect();
    let number = |bits: &[u8]| {
        bits.iter()
            .fold(0_u16, |sum, bit| sum << 1 | u16::from(*bit))
    };
    let (mut rest, mut status) = (&bits[..], 0);
    for _ in 0..3 {
        let short = number(&rest[..5]);
        let (digit, length) = match short {
            0..=2 => (short, 5),
            _ => (number(&rest[..6]) - 0x19 + 3, 6),
        };
        status = status * 10 + digit;
        rest = &rest[length..];
    }
    status
}

#[cfg(test)]
mod tests {
    use super::status;

    /// RFC 7541, appendix C.5 and C.6: 302 and 307.
    #[test]
    fn a_status_is_read_from_a_block() {
        for (block, expected) in [
            (&[0x88][..], 200),
            (&[0x48, 0x03, 0x33, 0x30, 0x32], 302),
            (&[0x48, 0x82, 0x64, 0x02], 302),
            (&[0x48, 0x83, 0x64, 0x0e, 0xff], 307),
            (&[0x20, 0x8d], 404),
        ] {
            assert_eq!(status(block), expected, "{block:x?}");
        }
    }
}
