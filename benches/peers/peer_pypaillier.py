"""pypaillier (GMP through Rust): its batch calls, weights declared public, sums by `add_blocks`. Its keys have safe primes."""

import paillier


class Peer:
    distribution = "pypaillier"

    def __init__(self, job):
        self.public, self.secret = paillier.generate_keypair(job["key_bits"])
        # The library refuses zero scalars, so zero weights are left out; the list of the others belongs to the model.
        self.terms = [(column, w) for row in job["weights"] for column, w in enumerate(row) if w]
        self.scalars = [w for _, w in self.terms]
        self.blocks, start = [], 0
        for row in job["weights"]:
            count = sum(1 for w in row if w)
            self.blocks.append(list(range(start, start + count)))
            start += count

    def encrypt_one(self, value):
        return paillier.encrypt_integers(self.public, [value])[0]

    def decrypt_one(self, ciphertext):
        return int(paillier.decrypt_many(self.secret, [ciphertext])[0])

    def add(self, a, b):
        return paillier.add_many(self.public, [a, b])

    def multiply(self, ciphertext, weight):
        return paillier.multiply_integers_public(self.public, [ciphertext], [weight])[0]

    def encrypt(self, pixels):
        return paillier.encrypt_integers(self.public, pixels)

    def product(self, ciphertexts):
        products = paillier.multiply_integers_public(self.public, [ciphertexts[column] for column, _ in self.terms], self.scalars)
        return paillier.add_blocks(self.public, products, self.blocks)

    def decrypt(self, results):
        return [int(text) for text in paillier.decrypt_many(self.secret, results)]
