        // Reads a, c (first factor), b, d (second factor), n; leaves the product in t, u. c, d and u are the upper base-n digits.
        var t$p = Wide(start$p);
        //@if square
        // Minus the quotient, limb by limb: the complement of its digits, 1, and at the end n - 1.
        var u$p = Wide(0);
        u0 += select(Wide(0), Wide(1), lane == 0u);
        //@end
        for (var block = 0u; block < blocks; block++) {
            //@rows
            {
                let y = Wide(from_lane(b$r, base + block));
                //@if square
                let z = Wide(from_lane(d$r, base + block));
                //@end
                t$s += Wide(a$p) * y;
                let quotient = from_lane((Limb(t$r) * minus_inverse) & MASK, base);
                //@if square
                u$s += Wide(c$p) * y;
                u$s += Wide(a$p) * z;
                u$r += Wide(~quotient & first_lane_mask);
                //@end
                let q = Wide(quotient);
                t$s += Wide(n$p) * q;
                //@if square
                let h = Wide(from_lane((Limb(u$r) * minus_inverse) & MASK, base));
                //@end
                // The lowest limb of the team is now 0, so passing limbs down by a rotation shifts the number.
                t$n += t$r >> W;
                t$r = Wide(from_lane(Limb(t$r) & MASK, after));
                //@if square
                u$s += Wide(n$p) * h;
                u$n += u$r >> W;
                u$r = Wide(from_lane(Limb(u$r) & MASK, after));
                //@end
            }
            //@end
        }
        //@if square
        u$p += Wide(n$p);
        u0 -= select(Wide(0), Wide(1), lane == 0u);
        //@end
