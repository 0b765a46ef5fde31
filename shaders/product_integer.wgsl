        // Reads a, c (first factor), b, d (second factor), n, start; leaves the product in t, u. c, d and u are the upper base-n digits. In a square the second factor is
        // the first, and one product of its digits is doubled in place of two.
        //@if squaring
        let e$p = c$p << 1u;
        //@end
        t$p = Wide(start$p);
        //@if square
        // Minus the quotient, limb by limb: the complement of its digits, 1, and at the end n - 1.
        u$p = Wide(0);
        u0 += select(Wide(0), Wide(1), lane == 0u);
        //@end
        for (var block = 0u; block < T; block++) {
            //@rows
            {
                //@if general
                let y = Wide(from_lane(b$r, base + block));
                //@end
                //@if squaring
                let y = Wide(from_lane(a$r, base + block));
                //@end
                //@if general
                //@if square
                let z = Wide(from_lane(d$r, base + block));
                //@end
                //@end
                t$s += Wide(a$p) * y;
                let quotient = from_lane((Limb(t$r) * minus_inverse) & MASK, base);
                //@if squaring
                u$s += Wide(e$p) * y;
                //@end
                //@if general
                //@if square
                u$s += Wide(c$p) * y;
                u$s += Wide(a$p) * z;
                //@end
                //@end
                //@if square
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
