//! A list as bytes, in the shortest form: serials as a list, as ranges or as bitmaps.

use std::mem;

use super::serials::SerialSet;
use super::{
    FORMAT_VERSION, KrlError, MAGIC, MAX_BITMAP_BITS, MAX_KRL, RevocationList, RevokedCertificates,
    Scope, cert_section, section,
};

/// Bytes that a section has beside its content: its type and its length.
const SECTION_OVERHEAD: u64 = 1 + 4;
/// Bytes of a serial.
const SERIAL: u64 = 8;
/// Bytes of a range: a section of its own with two serials.
const RANGE: u64 = SECTION_OVERHEAD + 2 * SERIAL;
/// Bytes of a bitmap beside its bits: its section, first serial, length, and a sign byte at worst.
const BITMAP_OVERHEAD: u64 = SECTION_OVERHEAD + SERIAL + 4 + 1;

impl RevocationList {
    /// The list as `PROTOCOL.krl` has it. The same list is always the same bytes.
    ///
    /// # Errors
    /// [`KrlError::TooLarge`], and [`KrlError::Nul`] for a comment that cannot be written.
    pub fn encode(&self) -> Result<Vec<u8>, KrlError> {
        if self.comment.contains('\0') {
            return Err(KrlError::Nul);
        }
        let mut out = Vec::new();
        out.extend(MAGIC);
        out.extend(FORMAT_VERSION.to_be_bytes());
        out.extend(self.version.to_be_bytes());
        out.extend(self.generated.to_be_bytes());
        out.extend(0_u64.to_be_bytes()); // flags: none are defined
        string(&mut out, b"")?; // reserved
        string(&mut out, self.comment.as_bytes())?;
        for (scope, revoked) in &self.certificates {
            let content = certificates(scope, revoked)?;
            put(&mut out, section::CERTIFICATES, &content)?;
        }
        strings(&mut out, section::EXPLICIT_KEY, &self.keys)?;
        strings(&mut out, section::FINGERPRINT_SHA1, &self.sha1)?;
        strings(&mut out, section::FINGERPRINT_SHA256, &self.sha256)?;
        if out.len() > MAX_KRL {
            return Err(KrlError::TooLarge);
        }
        Ok(out)
    }
}

fn certificates(scope: &Scope, revoked: &RevokedCertificates) -> Result<Vec<u8>, KrlError> {
    let mut out = Vec::new();
    match scope {
        Scope::Any => string(&mut out, b"")?,
        Scope::Ca(blob) => string(&mut out, blob)?,
    }
    string(&mut out, b"")?; // reserved
    let forms = Forms::of(&revoked.serials);
    if !forms.list.is_empty() {
        let serials: Vec<u8> = forms.list.iter().flat_map(|s| s.to_be_bytes()).collect();
        put(&mut out, cert_section::SERIAL_LIST, &serials)?;
    }
    for (low, high) in forms.ranges {
        let content = [low.to_be_bytes(), high.to_be_bytes()].concat();
        put(&mut out, cert_section::SERIAL_RANGE, &content)?;
    }
    for group in forms.bitmaps {
        put(&mut out, cert_section::SERIAL_BITMAP, &bitmap(&group)?)?;
    }
    strings(&mut out, cert_section::KEY_ID, &revoked.key_ids)?;
    Ok(out)
}

/// A section of strings; none if there are no strings.
fn strings<T: AsRef<[u8]>>(
    out: &mut Vec<u8>,
    kind: u8,
    items: impl IntoIterator<Item = T>,
) -> Result<(), KrlError> {
    let mut content = Vec::new();
    for item in items {
        string(&mut content, item.as_ref())?;
    }
    if content.is_empty() {
        return Ok(());
    }
    put(out, kind, &content)
}

fn put(out: &mut Vec<u8>, kind: u8, content: &[u8]) -> Result<(), KrlError> {
    out.push(kind);
    string(out, content)
}

fn string(out: &mut Vec<u8>, bytes: &[u8]) -> Result<(), KrlError> {
    let length = u32::try_from(bytes.len()).map_err(|_too_long| KrlError::TooLarge)?;
    out.extend(length.to_be_bytes());
    out.extend(bytes);
    Ok(())
}

/// The first serial, then the bits from there on as an `mpint` (RFC 4251, 5): bit 0 is the lowest.
fn bitmap(group: &[(u64, u64)]) -> Result<Vec<u8>, KrlError> {
    let (Some((first, _)), Some((_, last))) = (group.first(), group.last()) else {
        return Err(KrlError::Bitmap);
    };
    let top_bit = usize::try_from(last - first).map_err(|_too_long| KrlError::Bitmap)?;
    // One byte more than the bits take where the highest would read as a sign.
    let mut bits = vec![0_u8; (top_bit + 1) / 8 + 1];
    for (low, high) in group {
        for serial in *low..=*high {
            let bit = usize::try_from(serial - first).map_err(|_too_long| KrlError::Bitmap)?;
            if let Some(byte) = bits.iter_mut().rev().nth(bit / 8) {
                *byte |= 1 << (bit % 8);
            }
        }
    }
    let mut content = first.to_be_bytes().to_vec();
    string(&mut content, &bits)?;
    Ok(content)
}

/// Which serials go into which kind of section.
#[derive(Debug, Default)]
struct Forms {
    list: Vec<u64>,
    ranges: Vec<(u64, u64)>,
    /// Ranges that share a bitmap.
    bitmaps: Vec<Vec<(u64, u64)>>,
}

impl Forms {
    /// Gathers neighbours for a bitmap as long as each costs less in it than alone; the bitmap
    /// stands if it pays for its own overhead.
    fn of(serials: &SerialSet) -> Self {
        let mut forms = Self::default();
        let mut group = RangeGroup::default();
        for (low, high) in serials.ranges() {
            if !group.takes(low, high) {
                forms.close(mem::take(&mut group));
            }
            group.add(low, high);
        }
        forms.close(group);
        forms
    }

    fn close(&mut self, group: RangeGroup) {
        if group.fits() && BITMAP_OVERHEAD + group.span().div_ceil(8) < group.alone {
            self.bitmaps.push(group.ranges);
            return;
        }
        for (low, high) in group.ranges {
            match lone_serials(low, high) {
                Some(serials) => self.list.extend(serials),
                None => self.ranges.push((low, high)),
            }
        }
    }
}

/// Ranges that may share a bitmap.
#[derive(Debug, Default)]
struct RangeGroup {
    ranges: Vec<(u64, u64)>,
    /// Bytes that they take outside a bitmap.
    alone: u64,
}

impl RangeGroup {
    /// One less than the number of bits, which may not fit.
    fn span(&self) -> u64 {
        match (self.ranges.first(), self.ranges.last()) {
            (Some((low, _)), Some((_, high))) => high - low,
            _ => 0,
        }
    }

    fn fits(&self) -> bool {
        self.span() < MAX_BITMAP_BITS
    }

    fn takes(&self, low: u64, high: u64) -> bool {
        match (self.ranges.first(), self.ranges.last()) {
            (Some((first, _)), Some((_, last))) => {
                high - first < MAX_BITMAP_BITS && (high - last).div_ceil(8) <= cost(low, high)
            }
            _ => true,
        }
    }

    fn add(&mut self, low: u64, high: u64) {
        self.alone += cost(low, high);
        self.ranges.push((low, high));
    }
}

/// Bytes that a range takes outside a bitmap.
fn cost(low: u64, high: u64) -> u64 {
    (high - low)
        .saturating_add(1)
        .saturating_mul(SERIAL)
        .min(RANGE)
}

/// The serials of a range that is shorter as a list.
fn lone_serials(low: u64, high: u64) -> Option<impl Iterator<Item = u64>> {
    (cost(low, high) < RANGE).then_some(low..=high)
}
