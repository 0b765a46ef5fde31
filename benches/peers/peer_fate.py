"""fate_utils (the Rust part of FATE): its vectors and its own matrix product."""

import numpy
from fate_utils import paillier


class Peer:
    distribution = "fate_utils"

    def __init__(self, job):
        self.secret, self.public, self.coder = paillier.keygen(job["key_bits"])
        self.shape = (len(job["weights"]), len(job["weights"][0]))
        self.weights = self.coder.encode_i32_vec(numpy.array(job["weights"], dtype=numpy.int32).ravel())

    def _encode(self, values):
        return self.coder.encode_i64_vec(numpy.array(values, dtype=numpy.int64))

    def encrypt_one(self, value):
        return self.public.encrypt_encoded(self._encode([value]), True)

    def decrypt_one(self, ciphertext):
        return int(self.coder.decode_i64_vec(self.secret.decrypt_to_encoded(ciphertext))[0])

    def add(self, a, b):
        return a.add(self.public, b)

    def multiply(self, ciphertext, weight):
        return ciphertext.mul(self.public, self._encode([weight]))

    def encrypt(self, pixels):
        return self.public.encrypt_encoded(self._encode(pixels), True)

    def product(self, ciphertexts):
        return ciphertexts.rmatmul(self.public, self.weights, (self.shape[1], 1), self.shape)

    def decrypt(self, results):
        return [int(x) for x in self.coder.decode_i64_vec(self.secret.decrypt_to_encoded(results))]
