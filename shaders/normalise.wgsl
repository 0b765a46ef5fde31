        // Carries of {{X}} through the lane's limbs and on to the next lane, twice: limbs end at most 2^W, and only a lane's lowest one can be that.
        {
            {{X}}$above += {{X}}$p >> W; {{X}}$p &= Wide(MASK);
            let first_carry = wide_from_lane({{X}}{{LAST}} >> W, before);
            {{X}}{{LAST}} &= Wide(MASK);
            {{X}}0 += select(first_carry, Wide(0), lane == 0u);
            {{X}}$above += {{X}}$p >> W; {{X}}$p &= Wide(MASK);
            let second_carry = wide_from_lane({{X}}{{LAST}} >> W, before);
            {{X}}{{LAST}} &= Wide(MASK);
            {{X}}0 += select(second_carry, Wide(0), lane == 0u);
        }
