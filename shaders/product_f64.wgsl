        // As product_integer.wgsl, with products of 51-bit limbs split by two fused multiply-adds; see split_f64.wgsl. Sums are signed, and so may a lane's lowest
        // limb be, which is never below -1.
        let x$p = f64(Wide(a$p));
        let m$p = f64(Wide(n$p));
        t$p = Wide(start$p);
        //@if square
        let v$p = f64(Wide(c$p));
        u$p = Wide(0);
        u0 += select(Wide(0), Wide(1), lane == 0u);
        //@end
        for (var block = 0u; block < T; block++) {
            //@rows
            {
                // What belongs above the lane's top limb comes in again when the limbs have moved down.
                var t_top = Wide(0);
                let y = f64(Wide(from_lane(b$r, base + block)));
                { let h = upper(x$p, y); t$t += upper_value(h); t$s += lower_value(x$p, y, h); }
                let quotient = from_lane((Limb(t$r) * minus_inverse) & MASK, base);
                let q = f64(Wide(quotient));
                { let h = upper(m$p, q); t$t += upper_value(h); t$s += lower_value(m$p, q, h); }
                t$n += t$r >> W;
                t$r = Wide(from_lane(Limb(t$r) & MASK, after)) + t_top;
                //@if square
                var u_top = Wide(0);
                let z = f64(Wide(from_lane(d$r, base + block)));
                { let h = upper(v$p, y); u$t += upper_value(h); u$s += lower_value(v$p, y, h); }
                { let h = upper(x$p, z); u$t += upper_value(h); u$s += lower_value(x$p, z, h); }
                u$r += Wide(~quotient & first_lane_mask);
                let e = f64(Wide(from_lane((Limb(u$r) * minus_inverse) & MASK, base)));
                { let h = upper(m$p, e); u$t += upper_value(h); u$s += lower_value(m$p, e, h); }
                u$n += u$r >> W;
                u$r = Wide(from_lane(Limb(u$r) & MASK, after)) + u_top;
                //@end
            }
            //@end
        }
        //@if square
        u$p += Wide(n$p);
        u0 -= select(Wide(0), Wide(1), lane == 0u);
        //@end
