// x y = H 2^51 + l with |l| <= 2^50, for |x|, |y| <= 2^51: adding 1.5 * 2^103 rounds to a multiple of 2^51, and the mantissa's last bits are H, exactly; a second
// multiply-add gives the rest in the last bits of 1.5 * 2^52 + l. Both need one rounding (to nearest): see gpu.md for the self-test that must pass first.
const UPPER: f64 = 15211807202738752817960438464512.0lf;
const BOTH: f64 = 15211807202738759573359879520256.0lf;
const UPPER_BITS: i64 = 0x4668000000000000li;
const LOWER_BITS: i64 = 0x4338000000000000li;

fn upper(x: f64, y: f64) -> f64 {
    return fma(x, y, UPPER);
}

fn upper_value(h: f64) -> i64 {
    return bitcast<i64>(h) - UPPER_BITS;
}

fn lower_value(x: f64, y: f64, h: f64) -> i64 {
    return bitcast<i64>(fma(x, y, BOTH - h)) - LOWER_BITS;
}
