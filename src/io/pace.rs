//! A floor on the rate: slow retrieval is a fault, however steady the drip.

use std::io::{self, Read};
use std::time::{Duration, Instant};

/// At least so many bytes in each window of so much time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RateFloor {
    /// Bytes that a window must bring.
    pub bytes: u64,
    /// How long a window is.
    pub window: Duration,
}

/// A reader that fails with `TimedOut` when it is slower than its floor.
///
/// Time is looked at when bytes arrive: complete silence is for the transport's own timeout.
#[derive(Debug)]
pub struct PacedReader<R> {
    inner: R,
    floor: RateFloor,
    since: Instant,
    got: u64,
}

impl<R> PacedReader<R> {
    /// Starts the first window now.
    pub fn new(inner: R, floor: RateFloor) -> Self {
        Self {
            inner,
            floor,
            since: Instant::now(),
            got: 0,
        }
    }
}

impl<R: Read> Read for PacedReader<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let n = self.inner.read(buffer)?;
        self.got += n as u64;
        let elapsed = self.since.elapsed();
        if n > 0 && elapsed >= self.floor.window {
            if self.got < self.floor.bytes {
                return Err(io::Error::new(
                    io::ErrorKind::TimedOut,
                    format!(
                        "too slow: {} bytes in {:.1} s",
                        self.got,
                        elapsed.as_secs_f64()
                    ),
                ));
            }
            self.since = Instant::now();
            self.got = 0;
        }
        Ok(n)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Drip;

    impl Read for Drip {
        fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
            std::thread::sleep(Duration::from_millis(2));
            buffer[0] = 0;
            Ok(1)
        }
    }

    #[test]
    fn a_steady_drip_is_too_slow() {
        let floor = RateFloor {
            bytes: 1024,
            window: Duration::from_millis(20),
        };
        let mut reader = PacedReader::new(Drip, floor);
        let error = io::copy(&mut reader, &mut io::sink()).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::TimedOut);
    }

    #[test]
    fn enough_is_enough() {
        let floor = RateFloor {
            bytes: 1,
            window: Duration::ZERO,
        };
        let mut reader = PacedReader::new(&[7; 4096][..], floor);
        assert_eq!(io::copy(&mut reader, &mut io::sink()).unwrap(), 4096);
    }
}
