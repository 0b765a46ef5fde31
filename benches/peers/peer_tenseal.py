"""TenSEAL, BFV of Microsoft SEAL: one ciphertext per image and `dot` for one image, one ciphertext per pixel for a full batch.

Ring of 4096 with the library's own coefficient moduli for it: 128 bits by the HomomorphicEncryption.org tables.
"""

import tenseal


class Peer:
    distribution = "tenseal"
    slots = 4096

    def __init__(self, job):
        from worker import prime_for_slots

        self.weights = job["weights"]
        self.modulus = prime_for_slots(2 * job["bound"] + 1, self.slots)
        self.context = tenseal.context(
            tenseal.SCHEME_TYPE.BFV, poly_modulus_degree=self.slots, plain_modulus=self.modulus, n_threads=job["threads"]
        )
        self.context.generate_galois_keys()

    def encrypt_one(self, value):
        return tenseal.bfv_vector(self.context, [value])

    def decrypt_one(self, ciphertext):
        return ciphertext.decrypt()[0]

    def add(self, a, b):
        return a + b

    def multiply(self, ciphertext, weight):
        return ciphertext * [weight]

    def encrypt(self, pixels):
        return tenseal.bfv_vector(self.context, pixels)

    def product(self, ciphertext):
        return [ciphertext.dot(row) for row in self.weights]

    def decrypt(self, results):
        return [c.decrypt()[0] for c in results]

    def encrypt_batch(self, columns):
        return [tenseal.bfv_vector(self.context, column) for column in columns]

    def product_batch(self, ciphertexts):
        results = []
        for row in self.weights:
            terms = (c * w for c, w in zip(ciphertexts, row) if w)
            total = next(terms)
            for term in terms:
                total.add_(term)
            results.append(total)
        return results

    def decrypt_batch(self, results):
        return [c.decrypt() for c in results]
