"""The merger told straight from merge.md 3 to 5, on whole frames and without any shortcut."""

from __future__ import annotations

from collections.abc import Sequence

import cv2
import numpy as np
from dfl_tf_ops.reference import color_transfer as colors
from PIL import Image

from dfl_tf.face import FaceType, align_matrix, hull_mask
from dfl_tf.merge.motion import NO_MOTION, Motion
from dfl_tf.merge.networks import MergeNetworks
from dfl_tf.options import MergeOptions

CUBIC = cv2.INTER_CUBIC


def clip01(x):
    return np.clip(x, 0, 1)


def rs_cubic(x, size):
    return cv2.resize(x, size, interpolation=CUBIC)


def warp(x, matrix, size):
    return cv2.warpAffine(x, matrix, (size, size), flags=CUBIC)


def unwarp(x, matrix, frame_size):
    return cv2.warpAffine(x, matrix, frame_size, flags=CUBIC | cv2.WARP_INVERSE_MAP)


class ReferenceFace:
    """One face of one frame; `img8` is the uint8 frame, `merged()` gives (image, mask)."""

    def __init__(
        self,
        img8: np.ndarray,
        landmarks: np.ndarray,
        cfg: MergeOptions,
        face_type: FaceType,
        nets: MergeNetworks,
        rng: np.random.RandomState,
        motion: Motion = NO_MOTION,
        rotations: np.ndarray | None = None,
    ):
        self.img8, self.cfg, self.nets, self.rng, self.motion = img8, cfg, nets, rng, motion
        self.img = img8 / np.float32(255)
        self.size = (img8.shape[1], img8.shape[0])
        self.landmarks, self.face_type, self.rotations = landmarks, face_type, rotations
        self.n, self.sub = nets.size, 4 * nets.size
        self.out = self.sub if cfg.super_resolution_power else self.n
        self.S = 1 + 0.01 * cfg.output_face_scale

    def align(self, size, scale=1.0):
        return align_matrix(self.landmarks, size, self.face_type, scale)

    def merged(self):
        cfg, out = self.cfg, self.out
        self.M, self.Mo, self.Mm = self.align(out), self.align(out, self.S), None
        self.Mm = self.Mo if self.sub == out else self.align(self.sub, self.S)
        self.dst = clip01(warp(self.img, self.M, out))
        self.predict()
        w = self.work_mask()
        if "raw" not in cfg.mode:
            w = self.soften(w)
        fm = clip01(unwarp(w, self.Mm, self.size))[:, :, None].copy()
        fm[fm < 1 / 255] = 0
        if w.shape[0] != out:
            w = rs_cubic(w, (out, out))
        wa = w[:, :, None]
        self.wb = wa.copy()
        self.wb[wa > 0] = 1
        if cfg.mode == "original":
            return self.img, fm
        if cfg.mode == "raw-rgb":
            face = unwarp(self.prd, self.Mo, self.size)
            ones = unwarp(np.ones((out, out, 3), np.float32), self.Mo, self.size)
            return clip01(self.img * (1 - ones) + face * ones), fm
        if cfg.mode == "raw-predict":
            return clip01(self.prd), wa
        rows, columns = np.nonzero(fm[:, :, 0] >= 0.1)
        if not len(rows) or np.ptp(rows) < 4 or np.ptp(columns) < 4:
            return self.img.copy(), fm
        return self.blend(fm), fm

    def predict(self):
        cfg, out, n = self.cfg, self.out, self.n
        x = cv2.resize(self.dst, (n, n))
        (p0,), (p1,), (p2,) = self.nets.predict(x[None])
        self.prd, self.pm, self.pd = (
            clip01(p).astype(np.float32)
            for p in (p0, np.reshape(p1, (n, n)), np.reshape(p2, (n, n)))
        )
        if cfg.super_resolution_power:
            k = cfg.super_resolution_power / 100
            e = self.nets.enhance(self.prd)
            self.prd = clip01(cv2.resize(self.prd, (out, out)) * (1 - k) + e * k)
            self.prd = self.prd.astype(np.float32)
            self.pm, self.pd = rs_cubic(self.pm, (out, out)), rs_cubic(self.pd, (out, out))

    def work_mask(self):
        mode, out = self.cfg.mask_mode, self.out
        sources = {
            "full": lambda: np.ones((out, out), np.float32),
            "dst": lambda: clip01(
                warp(hull_mask(self.img.shape[:2], self.landmarks), self.M, out)
            ).reshape(out, out),
            "learned-prd": lambda: self.pm,
            "learned-dst": lambda: self.pd,
            "XSeg-prd": lambda: self.xseg(rs_cubic(self.prd, (256, 256))),
            "XSeg-dst": lambda: self.xseg(warp(self.img, self.align(256), 256)),
        }
        if "+" in mode:
            w = clip01(self.pm + self.pd)
        else:
            w = np.ones((out, out), np.float32)
            for name in mode.split("*"):
                w = w * sources[name]()
        w = w.astype(np.float32)
        w[w < 1 / 255] = 0
        return w if w.shape[0] == self.sub else rs_cubic(w, (self.sub, self.sub))

    def xseg(self, image):
        return rs_cubic(self.nets.segment(image).reshape(256, 256), (self.out, self.out))

    def soften(self, w):
        n, ero, blur = self.n, self.cfg.erode_mask_modifier, self.cfg.blur_mask_modifier
        w = np.pad(w, n)
        if ero:
            kernel = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (abs(ero), abs(ero)))
            w = (cv2.erode if ero > 0 else cv2.dilate)(w, kernel, iterations=1)
        c = n + blur // 2
        w[:c], w[-c:], w[:, :c], w[:, -c:] = 0, 0, 0, 0
        if blur:
            k = blur + (blur + 1) % 2
            w = cv2.GaussianBlur(w, (k, k), 0)
        return clip01(w[n:-n, n:-n])

    def recolor(self, face):
        ct, dst, wb = self.cfg.color_transfer_mode, self.dst, self.wb
        if ct == "rct":
            return colors.rct(face, dst, wb, wb)
        if ct == "lct":
            return colors.lct(face, dst)
        a, b = (face * wb, dst * wb) if ct.endswith("-m") else (face, dst)
        if ct in ("mkl", "mkl-m"):
            return colors.mkl(a, b)
        if ct in ("idt", "idt-m"):
            return colors.idt(a, b, self.rotations)
        if ct == "sot-m":
            return clip01(colors.sot(a, b, self.rng.normal(size=(10, 30, 3))))
        return colors.mix(a, b, self.rng.normal(size=(10, 5, 3)))

    def blend(self, fm):
        cfg, dst = self.cfg, self.dst
        seamless, recolors = "seamless" in cfg.mode, cfg.color_transfer_mode != "none"
        prd = self.prd
        if not seamless and recolors:
            prd = self.recolor(prd)
        if cfg.mode == "hist-match":
            h = np.ones_like(prd) * (self.wb if cfg.masked_hist_match else 1)
            a1, a2 = np.minimum(prd * h + (1 - h), 1), dst * h + (1 - h)
            prd = colors.hist_match(a1, a2, cfg.hist_match_threshold).astype(np.float32)
        sm = None
        if seamless:
            for i in range(1, 10):
                if (fm > i / 10).any():
                    sm = (fm > i / 10).astype(np.float32)
                    break
        o = clip01(unwarp(prd, self.Mo, self.size))
        if seamless:
            o = self.clone(o, sm)
        img = self.img
        o = img * (1 - fm) + o * fm
        if (
            (seamless and recolors)
            or cfg.mode == "seamless-hist-match"
            or cfg.motion_blur_power
            or cfg.blursharpen_amount
            or cfg.image_denoise_power
            or cfg.bicubic_degrade_power
        ):
            o = self.refine(o, fm, seamless and recolors)
        k = cfg.color_degrade_power / 100
        if k:
            rgb = Image.fromarray((o[:, :, ::-1] * 255).astype(np.uint8))
            palette = rgb.convert("P", palette=Image.Palette.ADAPTIVE, colors=256)
            r = (np.asarray(palette.convert("RGB"))[:, :, ::-1] / 255).astype(np.float32)
            o = r if k == 1 else o * (1 - k) + r * k
        return o

    def clone(self, o, sm):
        try:
            mask = (sm * 255).astype(np.uint8)[:, :, 0].copy()
            left, top, w, h = cv2.boundingRect(mask)
            center = (int(left + w / 2), int(top + h / 2))
            o8 = (o * 255).astype(np.uint8)
            return cv2.seamlessClone(o8, self.img8, mask, center, cv2.NORMAL_CLONE) / np.float32(
                255
            )
        except (cv2.error, TypeError):
            return o

    def refine(self, o, fm, recolors):
        cfg, img = self.cfg, self.img
        q = warp(o, self.M, self.out)
        if recolors:
            q = self.recolor(q)
        if cfg.mode == "seamless-hist-match":
            q = colors.hist_match(q, self.dst, cfg.hist_match_threshold).astype(np.float32)
        k = int(self.motion.power * cfg.motion_blur_power / 100)
        if k >= 1:
            k = int(np.clip(k + 1, 2, 50)) * (2 if cfg.super_resolution_power else 1)
            line = np.zeros((k, k), np.float32)
            line[(k - 1) // 2] = 1
            turn = cv2.getRotationMatrix2D((k / 2 - 0.5, k / 2 - 0.5), self.motion.angle, 1)
            line = cv2.warpAffine(line, turn, (k, k))
            q = cv2.filter2D(q, -1, line / line.sum())
        q = self.sharpen(q)
        n = cfg.image_denoise_power
        while n > 0:
            b = cv2.medianBlur(img, 5)
            img = b if n >= 100 else img * (1 - n / 100) + b * (n / 100)
            img = img.astype(np.float32)
            n -= 10
        if cfg.bicubic_degrade_power:
            p = 1 - cfg.bicubic_degrade_power / 101
            small = tuple(max(1, int(side * p)) for side in self.size)
            img = rs_cubic(rs_cubic(img, small), self.size)
        nq = unwarp(q, self.M, self.size)
        return clip01(img * (1 - fm) + nq * fm)

    def sharpen(self, q):
        a, mode = self.cfg.blursharpen_amount, self.cfg.sharpen_mode
        if a > 0 and mode == "box":
            delta = np.zeros((3, 3), np.float32)
            delta[1, 1] = 1
            return cv2.filter2D(q, -1, delta + (delta - np.float32(1 / 9)) * a)
        if a > 0 and mode == "gaussian":
            return cv2.addWeighted(q, 1 + 0.5 * a, cv2.GaussianBlur(q, (3, 3), 0), -0.5 * a, 0)
        n = -a
        while n > 0:
            b = cv2.medianBlur(q, 5)
            q = b if n >= 10 else (q * (1 - n / 10) + b * (n / 10)).astype(np.float32)
            n -= 10
        return q


def reference_frame(img8, faces: Sequence[np.ndarray], *args, **more):
    """All faces of a frame, one over the other; returns uint8 image and mask (merge.md 5)."""
    final = mask = None
    for landmarks in faces:
        o, m = ReferenceFace(img8, landmarks, *args, **more).merged()
        if final is None:
            final, mask = o, m
        else:
            final, mask = final * (1 - m) + o * m, clip01(mask + m)
    both = clip01(np.concatenate([final, mask], axis=2))
    both = (both * 255).astype(np.uint8)
    return both[:, :, :3], both[:, :, 3]
