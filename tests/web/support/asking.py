"""What tests ask about the faces of one folder, over HTTP."""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path
from urllib.parse import urlencode

from .served import Served

MEASURING = [sys.executable, str(Path(__file__).with_name("fake_measuring.py"))]
"""A small script instead of the process that measures."""


class Asking:
    """Questions about one place."""

    def __init__(self, served: Served, title: str = "data_src/aligned") -> None:
        self.served, self.title = served, title

    @property
    def place(self) -> str:
        places = self.served.ask("/api/faces/places").json["places"]
        return next(each["id"] for each in places if each["title"] == self.title)

    def list(self, **question):
        query = urlencode({"q": json.dumps(question)})
        return self.served.ask(f"/api/faces/list/{self.place}?{query}").json

    def names(self, **question):
        answer = self.list(**question)
        return self.named(answer, answer["order"])

    def named(self, answer, numbers):
        query = ",".join(map(str, numbers))
        rows = self.served.ask(f"/api/faces/rows/{self.place}/{answer['run']}?n={query}").json
        return [row["name"] for row in rows]

    def numbers(self, *names):
        answer = self.list()
        by_name = dict(zip(self.named(answer, answer["order"]), answer["order"], strict=True))
        return [by_name[name] for name in names]

    def get(self, what, number, **query):
        path = f"/api/faces/{what}/{self.place}/{self.list()['run']}/{number}"
        return self.served.ask(f"{path}?{urlencode(query)}")

    def post(self, what, **body):
        return self.served.post(f"/api/faces/{what}/{self.place}", body)

    def trash(self, *names):
        body = {"run": self.list()["run"], "faces": self.numbers(*names)}
        return self.post("restore" if self.title.endswith("_trash") else "trash", **body)

    def measure(self, columns=(), method="", places=None):
        body = {"places": places or [self.place], "columns": columns, "method": method}
        answer = self.served.post("/api/faces/measure", {**body, "strictness": 0.5})
        return answer if answer.status != 200 else self.wait()

    def wait(self):
        while (job := self.served.ask("/api/faces/job").json)["state"] == "running":
            time.sleep(0.02)
        return job
