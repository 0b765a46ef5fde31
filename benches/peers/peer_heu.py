"""HEU of SecretFlow: scalars through heu.phe, vectors and the matrix product through heu.numpy.

IPCL's vectors fail at this size in these wheels ("ippMontExp: set Mont input error"), so its product goes weight by weight.
"""

import numpy
from heu import numpy as hnp
from heu import phe


class Peer:
    distribution = "sf-heu"

    def __init__(self, job):
        kit = phe.setup(getattr(phe.SchemaType, job["scheme"]), job["key_bits"])
        self.encryptor, self.decryptor, self.evaluator = kit.encryptor(), kit.decryptor(), kit.evaluator()
        self.kit = hnp.HeKit(kit)
        self.encoder = phe.BigintEncoder(kit.get_schema())
        self.one_by_one = job["scheme"] == "IPCL"
        self.weights = job["weights"] if self.one_by_one else self._encode(job["weights"])

    def _encode(self, values):
        return hnp.array(numpy.array(values, dtype=numpy.int64), self.encoder)

    def encrypt_one(self, value):
        return self.encryptor.encrypt_raw(value)

    def decrypt_one(self, ciphertext):
        return self.decryptor.decrypt_raw(ciphertext)

    def add(self, a, b):
        return self.evaluator.add(a, b)

    def multiply(self, ciphertext, weight):
        return self.evaluator.mul(ciphertext, weight)

    def encrypt(self, pixels):
        if self.one_by_one:
            return [self.encryptor.encrypt_raw(x) for x in pixels]
        return self.kit.encryptor().encrypt(self._encode([[x] for x in pixels]))

    def product(self, ciphertexts):
        if self.one_by_one:
            return [self._sum(self.evaluator.mul(c, w) for c, w in zip(ciphertexts, row) if w) for row in self.weights]
        return self.kit.evaluator().matmul(self.weights, ciphertexts)

    def _sum(self, terms):
        total = next(terms)
        for term in terms:
            self.evaluator.add_inplace(total, term)
        return total

    def decrypt(self, results):
        if self.one_by_one:
            return [self.decryptor.decrypt_raw(c) for c in results]
        return [int(x) for x in self.kit.decryptor().decrypt(results).to_numpy(self.encoder).ravel()]
