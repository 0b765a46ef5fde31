"""No encryption at all: the integers themselves. For the self-test, which asks it to lie."""


class Peer:
    distribution = None
    slots = 4
    values_per_ciphertext = 1

    def __init__(self, job):
        self.weights = job["weights"]
        self.lie = job.get("lie")

    def _answer(self, step, value):
        return value + 1 if self.lie == step else value

    def encrypt_one(self, value):
        return self._answer("encrypt", value)

    def decrypt_one(self, ciphertext):
        return self._answer("decrypt", ciphertext)

    def add(self, a, b):
        return self._answer("add", a + b)

    def multiply(self, ciphertext, weight):
        return self._answer("multiply", ciphertext * weight)

    def encrypt(self, pixels):
        return list(pixels)

    def product(self, pixels):
        if self.lie == "raise":
            raise ValueError("on purpose")
        logits = [sum(w * x for w, x in zip(row, pixels)) for row in self.weights]
        logits[-1] = self._answer("product", logits[-1])
        return logits[:-1] if self.lie == "short" else logits

    def decrypt(self, logits):
        return logits

    def encrypt_batch(self, columns):
        return columns

    def product_batch(self, columns):
        rows = [[sum(w * column[slot] for w, column in zip(row, columns)) for slot in range(self.slots)] for row in self.weights]
        rows[0][self.slots - 1] = self._answer("batch", rows[0][self.slots - 1])
        return rows

    def decrypt_batch(self, rows):
        return rows
