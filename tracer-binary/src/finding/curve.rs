//! Tables of points on the elliptic curve P-256, detected by the curve's equation.
//!
//! The standard library keeps 1376 multiples of the base point ready for TLS (`crypto/internal/nistec`). These numbers
//! look random and are in nearly every program. Each point is a pair of field elements in Montgomery form, in
//! little-endian order.
//!
//! The table begins with the base point, and every pair in it satisfies `y² = x³ - 3x + b`. Bytes of another origin do
//! not satisfy the equation by chance. No hashes of the tables of each release are therefore needed.

use std::ops::Range;

/// Four limbs, the lowest first.
type Element = [u64; 4];

/// The field's prime, of FIPS 186-4, section D.1.2.3: `2^256 - 2^224 + 2^192 + 2^96 - 1`.
const P: Element = [
    0xffff_ffff_ffff_ffff,
    0x0000_0000_ffff_ffff,
    0x0000_0000_0000_0000,
    0xffff_ffff_0000_0001,
];
/// The base point's x, of the same section, times `2^256` modulo the prime.
const BASE: Element = [
    0x79e7_30d4_18a9_143c,
    0x75ba_95fc_5fed_b601,
    0x79fb_732b_7762_2510,
    0x1890_5f76_a537_55c6,
];
const POINT: usize = 64;

/// The first table in `bytes`, from the base point to the last point that follows it.
pub(super) fn table(bytes: &[u8]) -> Option<Range<usize>> {
    let base: Vec<u8> = BASE.iter().flat_map(|limb| limb.to_le_bytes()).collect();
    memchr::memmem::find_iter(bytes, &base).find_map(|start| {
        let mut points = bytes.get(start..)?.chunks_exact(POINT).map(constant);
        let b = points.next()??;
        let n = 1 + points.take_while(|other| *other == Some(b)).count();
        (n > 1).then_some(start..start + n * POINT)
    })
}

/// The `b` of the curve through a point: `y² - x³ + 3x`.
fn constant(point: &[u8]) -> Option<Element> {
    let (x, y) = point.split_at_checked(POINT / 2)?;
    let (x, y) = (element(x)?, element(y)?);
    let cube = multiply(multiply(x, x), x);
    let triple = add(add(x, x), x);
    Some(add(subtract(multiply(y, y), cube), triple))
}

fn element(bytes: &[u8]) -> Option<Element> {
    let mut element = [0; 4];
    for (limb, bytes) in element.iter_mut().zip(bytes.chunks_exact(8)) {
        *limb = u64::from_le_bytes(bytes.try_into().ok()?);
    }
    is_reduced(element).then_some(element)
}

fn is_reduced(element: Element) -> bool {
    element.iter().rev().lt(P.iter().rev())
}

/// The sum of two numbers with the carry out of it.
fn sum(a: Element, b: Element) -> (Element, bool) {
    let mut carry = false;
    let mut sum = [0; 4];
    for (out, (a, b)) in sum.iter_mut().zip(a.into_iter().zip(b)) {
        let (low, first) = a.overflowing_add(b);
        let (low, second) = low.overflowing_add(u64::from(carry));
        (*out, carry) = (low, first || second);
    }
    (sum, carry)
}

/// The difference of two numbers with the borrow out of it.
fn difference(a: Element, b: Element) -> (Element, bool) {
    let mut borrow = false;
    let mut difference = [0; 4];
    for (out, (a, b)) in difference.iter_mut().zip(a.into_iter().zip(b)) {
        let (low, first) = a.overflowing_sub(b);
        let (low, second) = low.overflowing_sub(u64::from(borrow));
        (*out, borrow) = (low, first || second);
    }
    (difference, borrow)
}

fn add(a: Element, b: Element) -> Element {
    let (sum, carry) = sum(a, b);
    if carry || !is_reduced(sum) {
        difference(sum, P).0
    } else {
        sum
    }
}

fn subtract(a: Element, b: Element) -> Element {
    let (difference, borrow) = difference(a, b);
    if borrow {
        sum(difference, P).0
    } else {
        difference
    }
}

/// Montgomery's product: `ab / 2^256`, one limb of `a` at a time.
fn multiply(a: Element, b: Element) -> Element {
    let mut total = [0; 4];
    let mut top = 0;
    for limb in a {
        let high = accumulate(&mut total, limb, b);
        let (sum, first) = overflow(top, high);
        // The prime ends in 64 ones. Adding the prime as many times as the lowest limb's value makes that limb zero.
        let [lowest, ..] = total;
        let high = accumulate(&mut total, lowest, P);
        let (sum, second) = overflow(sum, high);
        let [_, one, two, three] = total;
        total = [one, two, three, sum];
        top = first + second;
    }
    if top > 0 || !is_reduced(total) {
        difference(total, P).0
    } else {
        total
    }
}

fn overflow(a: u64, b: u64) -> (u64, u64) {
    let (sum, carry) = a.overflowing_add(b);
    (sum, u64::from(carry))
}

/// Adds `factor * number` to `total`. Returns the overflow.
fn accumulate(total: &mut Element, factor: u64, number: Element) -> u64 {
    let mut carry = 0;
    for (out, limb) in total.iter_mut().zip(number) {
        let (low, high) = factor.carrying_mul(limb, carry);
        let (low, over) = out.overflowing_add(low);
        (*out, carry) = (low, high + u64::from(over));
    }
    carry
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The base point in Montgomery form, with its y.
    fn base_point() -> Vec<u8> {
        let y: Element = [
            0xddf2_5357_ce95_560a,
            0x8b4a_b8e4_ba19_e45c,
            0xd2e8_8688_dd21_f325,
            0x8571_ff18_2588_5d85,
        ];
        let limbs = BASE.into_iter().chain(y);
        limbs.flat_map(u64::to_le_bytes).collect()
    }

    #[test]
    fn the_base_point_is_on_the_curve() {
        // `b` of FIPS 186-4 is 5ac635d8 aa3a93e7 b3ebbd55 769886bc 651d06b0 cc53b0f6 3bce3c3e 27d2604b. A product with
        // one converts it from the Montgomery form.
        let b = constant(&base_point()).unwrap();
        assert_eq!(
            multiply(b, [1, 0, 0, 0]),
            [
                0x3bce_3c3e_27d2_604b,
                0x651d_06b0_cc53_b0f6,
                0xb3eb_bd55_7698_86bc,
                0x5ac6_35d8_aa3a_93e7,
            ]
        );
    }

    #[test]
    fn a_table_ends_where_a_pair_is_no_point() {
        let mut bytes = vec![7; 24];
        bytes.extend(base_point());
        bytes.extend(base_point());
        bytes.extend([9; 100]);
        assert_eq!(table(&bytes), Some(24..24 + 128));
        bytes[24 + 70] ^= 1;
        assert_eq!(table(&bytes), None, "one point is no table");
    }

    #[test]
    fn numbers_beyond_the_prime_are_no_elements() {
        assert_eq!(element(&[0xff; 32]), None);
        assert_eq!(table(&[0xff; 4096]), None);
    }
}
