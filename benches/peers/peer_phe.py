"""python-paillier (`phe`) with gmpy2: one ciphertext per value, one modular power per weight."""

import phe
import phe.util


class Peer:
    distribution = "phe"

    def __init__(self, job):
        if not phe.util.HAVE_GMP:
            raise RuntimeError("phe found no gmpy2 and would compute in plain Python")
        self.weights = job["weights"]
        self.public, self.secret = phe.generate_paillier_keypair(n_length=job["key_bits"])

    def encrypt_one(self, value):
        return self.public.encrypt(value)

    def decrypt_one(self, ciphertext):
        return self.secret.decrypt(ciphertext)

    def add(self, a, b):
        return a + b

    def multiply(self, ciphertext, weight):
        return ciphertext * weight

    def encrypt(self, pixels):
        return [self.public.encrypt(x) for x in pixels]

    def product(self, ciphertexts):
        results = []
        for row in self.weights:
            terms = (c * w for c, w in zip(ciphertexts, row) if w)
            total = next(terms)
            for term in terms:
                total = total + term
            results.append(total)
        return results

    def decrypt(self, results):
        return [self.secret.decrypt(c) for c in results]
