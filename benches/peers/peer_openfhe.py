"""OpenFHE, BFV or BGV at 128 bits (HEStd_128_classic), ring and moduli chosen by the library.

One image: its 784 pixels in a block of 1024 slots, repeated through the ciphertext, so that one product by a plaintext serves as many
classes as there are blocks; ten rotations add up all blocks at once. A full batch: one ciphertext per pixel, one image per slot, products
by constants, no rotation and therefore smaller parameters (BFV at depth 0).
"""

import openfhe

BLOCK = 1024


class Peer:
    distribution = "openfhe"

    def __init__(self, job):
        from worker import prime_for_slots

        self.weights = job["weights"]
        least = 2 * job["bound"] + 1
        self.modulus = prime_for_slots(least, 8192)
        self.single, self.single_keys = self._context(job, depth=1)
        self.single.EvalRotateKeyGen(self.single_keys.secretKey, [1 << i for i in range(BLOCK.bit_length() - 1)])
        self.blocks = self.single.GetRingDimension() // BLOCK
        self.rows = [self._rows(start) for start in range(0, len(self.weights), self.blocks)]
        # BGV at depth 0 leaves too little room for the noise of a sum of 784 products: its answers are wrong.
        self.many, self.many_keys = self._context(job, depth=1 if job["scheme"] == "BGV" else 0)
        self.slots = self.many.GetRingDimension()
        values = {w for row in self.weights for w in row if w}
        self.constants = {w: self.many.MakePackedPlaintext([w] * self.slots) for w in values}

    def _context(self, job, depth):
        parameters = openfhe.CCParamsBGVRNS() if job["scheme"] == "BGV" else openfhe.CCParamsBFVRNS()
        parameters.SetPlaintextModulus(self.modulus)
        parameters.SetMultiplicativeDepth(depth)
        parameters.SetSecurityLevel(openfhe.HEStd_128_classic)
        context = openfhe.GenCryptoContext(parameters)
        feature = openfhe.PKESchemeFeature
        for wanted in (feature.PKE, feature.KEYSWITCH, feature.LEVELEDSHE, feature.ADVANCEDSHE):
            context.Enable(wanted)
        return context, context.KeyGen()

    def _rows(self, start):
        slots = []
        for row in self.weights[start : start + self.blocks]:
            slots += row + [0] * (BLOCK - len(row))
        return self.single.MakePackedPlaintext(slots)

    def _decrypt(self, context, keys, ciphertext, length):
        plaintext = context.Decrypt(ciphertext, keys.secretKey)
        plaintext.SetLength(length)
        return plaintext.GetPackedValue()

    def encrypt_one(self, value):
        return self.single.Encrypt(self.single_keys.publicKey, self.single.MakePackedPlaintext([value]))

    def decrypt_one(self, ciphertext):
        return self._decrypt(self.single, self.single_keys, ciphertext, 1)[0]

    def add(self, a, b):
        return self.single.EvalAdd(a, b)

    def multiply(self, ciphertext, weight):
        return self.single.EvalMult(ciphertext, self.single.MakePackedPlaintext([weight]))

    def encrypt(self, pixels):
        block = list(pixels) + [0] * (BLOCK - len(pixels))
        return self.single.Encrypt(self.single_keys.publicKey, self.single.MakePackedPlaintext(block * self.blocks))

    def product(self, ciphertext):
        results = []
        for rows in self.rows:
            total = self.single.EvalMult(ciphertext, rows)
            for i in range(BLOCK.bit_length() - 1):
                total = self.single.EvalAdd(total, self.single.EvalRotate(total, 1 << i))
            results.append(total)
        return results

    def decrypt(self, results):
        logits = []
        for ciphertext in results:
            logits += self._decrypt(self.single, self.single_keys, ciphertext, self.blocks * BLOCK)[::BLOCK]
        return logits[: len(self.weights)]

    def encrypt_batch(self, columns):
        return [self.many.Encrypt(self.many_keys.publicKey, self.many.MakePackedPlaintext(column)) for column in columns]

    def product_batch(self, ciphertexts):
        results = []
        for row in self.weights:
            terms = (self.many.EvalMult(c, self.constants[w]) for c, w in zip(ciphertexts, row) if w)
            total = next(terms)
            for term in terms:
                self.many.EvalAddInPlace(total, term)
            results.append(total)
        return results

    def decrypt_batch(self, results):
        return [self._decrypt(self.many, self.many_keys, c, self.slots) for c in results]
