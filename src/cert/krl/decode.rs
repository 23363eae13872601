//! Decodes a list from untrusted bytes: every length is checked, the size of every part is limited,
//! and unknown parts are refused unless they are marked as skippable.

use super::{
    FORMAT_VERSION, KrlError, MAGIC, MAX_KRL, MAX_READ_BITS, RevocationList, RevokedCertificates,
    Scope, cert_section, section,
};

/// Most entries of a list that is read: ranges of serials, key ids, keys, and hashes together.
/// Bitmaps are small for what they hold, so the limit on bytes alone would not bound the memory.
pub const MAX_ENTRIES: usize = 4_000_000;

impl RevocationList {
    /// Reads a list. A signature is passed over, not checked: OpenSSH has given them up.
    ///
    /// # Errors
    /// What is wrong with the bytes.
    pub fn decode(bytes: &[u8]) -> Result<Self, KrlError> {
        if bytes.len() > MAX_KRL {
            return Err(KrlError::TooLarge);
        }
        let mut bytes = SectionReader(bytes.strip_prefix(&MAGIC).ok_or(KrlError::Magic)?);
        let format = bytes.u32()?;
        if format != FORMAT_VERSION {
            return Err(KrlError::Format(format));
        }
        let version = bytes.u64()?;
        let generated = bytes.u64()?;
        bytes.u64()?; // flags: none are defined
        bytes.string()?; // reserved
        let comment = String::from_utf8_lossy(bytes.text()?).into_owned();
        let mut decoder = KrlDecoder {
            list: Self {
                version,
                generated,
                comment,
                ..Self::default()
            },
            entries: 0,
            signed: false,
        };
        while !bytes.is_empty() {
            decoder.section(&mut bytes)?;
        }
        Ok(decoder.list)
    }
}

#[derive(Debug)]
struct KrlDecoder {
    list: RevocationList,
    entries: usize,
    signed: bool,
}

impl KrlDecoder {
    fn section(&mut self, bytes: &mut SectionReader<'_>) -> Result<(), KrlError> {
        let kind = bytes.u8()?;
        let mut content = SectionReader(bytes.string()?);
        if kind == section::SIGNATURE {
            // What was read is the signing key; the signature itself stands outside of the section.
            bytes.string()?;
            self.signed = true;
            return Ok(());
        }
        if self.signed {
            return Err(KrlError::AfterSignature);
        }
        match kind {
            section::CERTIFICATES => self.certificates(&mut content)?,
            section::EXPLICIT_KEY => {
                while !content.is_empty() {
                    let key = content.string()?;
                    self.count()?;
                    self.list.keys.insert(key.to_vec());
                }
            }
            section::FINGERPRINT_SHA1 => {
                while !content.is_empty() {
                    let hash = content.hash()?;
                    self.count()?;
                    self.list.sha1.insert(hash);
                }
            }
            section::FINGERPRINT_SHA256 => {
                while !content.is_empty() {
                    let hash = content.hash()?;
                    self.count()?;
                    self.list.sha256.insert(hash);
                }
            }
            section::EXTENSION => extension(&mut content)?,
            unknown => return Err(KrlError::UnknownSection(unknown)),
        }
        content.end()
    }

    fn certificates(&mut self, content: &mut SectionReader<'_>) -> Result<(), KrlError> {
        let scope = match content.string()? {
            [] => Scope::Any,
            blob => Scope::Ca(blob.to_vec()),
        };
        content.string()?; // reserved
        // A CA may have several sections.
        let mut revoked = self.list.certificates.remove(&scope).unwrap_or_default();
        while !content.is_empty() {
            let kind = content.u8()?;
            let mut part = SectionReader(content.string()?);
            match kind {
                cert_section::SERIAL_LIST => {
                    while !part.is_empty() {
                        let serial = part.u64()?;
                        self.serials(&mut revoked, serial, serial)?;
                    }
                }
                cert_section::SERIAL_RANGE => {
                    let (low, high) = (part.u64()?, part.u64()?);
                    self.serials(&mut revoked, low, high)?;
                }
                cert_section::SERIAL_BITMAP => self.bitmap(&mut revoked, &mut part)?,
                cert_section::KEY_ID => {
                    while !part.is_empty() {
                        let key_id = part.text()?;
                        self.count()?;
                        revoked.key_ids.insert(key_id.to_vec());
                    }
                }
                cert_section::EXTENSION => extension(&mut part)?,
                unknown => return Err(KrlError::UnknownSection(unknown)),
            }
            part.end()?;
        }
        if revoked != RevokedCertificates::default() {
            self.list.certificates.insert(scope, revoked);
        }
        Ok(())
    }

    fn serials(
        &mut self,
        revoked: &mut RevokedCertificates,
        low: u64,
        high: u64,
    ) -> Result<(), KrlError> {
        if low == 0 {
            return Err(KrlError::SerialZero);
        }
        if low > high {
            return Err(KrlError::BackwardRange(low, high));
        }
        self.count()?;
        revoked.serials.insert(low..=high);
        Ok(())
    }

    /// Each run of bits is one range.
    fn bitmap(
        &mut self,
        revoked: &mut RevokedCertificates,
        content: &mut SectionReader<'_>,
    ) -> Result<(), KrlError> {
        let first = content.u64()?;
        let bits = Bits::new(content.string()?)?;
        let mut start = None;
        for bit in 0..=bits.count() {
            match (bits.is_set(bit), start) {
                (true, None) => start = Some(bit),
                (false, Some(from)) => {
                    let low = first.checked_add(from).ok_or(KrlError::Bitmap)?;
                    let high = first.checked_add(bit - 1).ok_or(KrlError::Bitmap)?;
                    self.serials(revoked, low, high)?;
                    start = None;
                }
                _ => {}
            }
        }
        Ok(())
    }

    /// One entry more.
    fn count(&mut self) -> Result<(), KrlError> {
        self.entries += 1;
        if self.entries > MAX_ENTRIES {
            return Err(KrlError::TooMany);
        }
        Ok(())
    }
}

/// Passes over an extension, unless it must be understood.
fn extension(content: &mut SectionReader<'_>) -> Result<(), KrlError> {
    let name = content.text()?;
    let is_critical = content.u8()? != 0;
    content.string()?;
    if is_critical {
        let name = String::from_utf8_lossy(name).into_owned();
        return Err(KrlError::CriticalExtension(name));
    }
    Ok(())
}

/// The bits of an `mpint` that is not negative, the lowest first.
#[derive(Debug)]
struct Bits<'a>(&'a [u8]);

impl<'a> Bits<'a> {
    fn new(integer: &'a [u8]) -> Result<Self, KrlError> {
        let magnitude = match integer {
            [0, magnitude @ ..] => magnitude,
            [first, ..] if first & 0x80 != 0 => return Err(KrlError::Bitmap),
            magnitude => magnitude,
        };
        if magnitude.len() as u64 > MAX_READ_BITS / 8 {
            return Err(KrlError::Bitmap);
        }
        Ok(Self(magnitude))
    }

    fn count(&self) -> u64 {
        self.0.len() as u64 * 8
    }

    fn is_set(&self, bit: u64) -> bool {
        let index = usize::try_from(bit / 8).ok();
        let byte = index.and_then(|index| self.0.iter().rev().nth(index));
        byte.is_some_and(|byte| byte >> (bit % 8) & 1 == 1)
    }
}

/// What is left to read.
#[derive(Debug)]
struct SectionReader<'a>(&'a [u8]);

impl<'a> SectionReader<'a> {
    fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    fn end(&self) -> Result<(), KrlError> {
        if self.is_empty() {
            Ok(())
        } else {
            Err(KrlError::LeftOver)
        }
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N], KrlError> {
        let (array, rest) = self.0.split_first_chunk().ok_or(KrlError::Truncated)?;
        self.0 = rest;
        Ok(*array)
    }

    fn u8(&mut self) -> Result<u8, KrlError> {
        let [byte] = self.array()?;
        Ok(byte)
    }

    fn u32(&mut self) -> Result<u32, KrlError> {
        Ok(u32::from_be_bytes(self.array()?))
    }

    fn u64(&mut self) -> Result<u64, KrlError> {
        Ok(u64::from_be_bytes(self.array()?))
    }

    fn string(&mut self) -> Result<&'a [u8], KrlError> {
        let length = usize::try_from(self.u32()?).map_err(|_too_long| KrlError::Truncated)?;
        let (string, rest) = self.0.split_at_checked(length).ok_or(KrlError::Truncated)?;
        self.0 = rest;
        Ok(string)
    }

    /// A string without NUL bytes; OpenSSH lets one stand at the end.
    fn text(&mut self) -> Result<&'a [u8], KrlError> {
        let string = self.string()?;
        let text = string.strip_suffix(b"\0").unwrap_or(string);
        if text.contains(&0) {
            return Err(KrlError::Nul);
        }
        Ok(text)
    }

    fn hash<const N: usize>(&mut self) -> Result<[u8; N], KrlError> {
        let hash = self.string()?;
        hash.try_into()
            .map_err(|_wrong| KrlError::HashLength(hash.len()))
    }
}
