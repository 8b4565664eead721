"""Ray Data over the same images with the same network: read_images, map_batches, write_parquet. Part of throughput.py.

PYTHON benchmarks/ray_data.py FOLDER WEIGHTS OUT [--bf16], in an environment with torch, torchvision and ray[data]

Two actors of one thread each share two cores better than one of two. Prints images per second as JSON, from the end of
the first batch to that of the last.
"""

import argparse
import json
import os
import time

import pyarrow.parquet as pq
import ray
import torch
import torchvision

BATCH = 64


class Embed:
    """One actor: its network, and a batch at a time."""

    def __init__(self, weights: str, bf16: bool) -> None:
        torch.set_num_threads(1)
        self.dtype = torch.bfloat16 if bf16 else torch.float32
        network = torchvision.models.squeezenet1_1()
        network.load_state_dict(torch.load(weights, weights_only=True))
        self.network = network.eval().to(self.dtype).to(memory_format=torch.channels_last)
        self.transform = torchvision.models.SqueezeNet1_1_Weights.DEFAULT.transforms()

    def __call__(self, batch):
        """Paths and vectors (images, 1000) of images (images, height, width, 3)."""
        images = torch.from_numpy(batch["image"]).permute(0, 3, 1, 2)
        with torch.inference_mode():
            vectors = self.network(self.transform(images).to(self.dtype)).float().numpy()
        return {"path": batch["path"], "values": vectors, "finished": [time.time()] * len(vectors)}


def main() -> None:
    """Run and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder")
    parser.add_argument("weights")
    parser.add_argument("out")
    parser.add_argument("--bf16", action="store_true")
    given = parser.parse_args()
    ray.init(num_cpus=os.cpu_count(), include_dashboard=False, log_to_driver=False)
    images = ray.data.read_images(given.folder, mode="RGB", include_paths=True)
    actors = ray.data.ActorPoolStrategy(size=os.cpu_count())
    arguments = {"weights": given.weights, "bf16": given.bf16}
    embedded = images.map_batches(
        Embed, batch_size=BATCH, compute=actors, num_cpus=0.5, fn_constructor_kwargs=arguments, batch_format="numpy"
    )
    embedded.write_parquet(given.out)
    finished = pq.read_table(given.out, columns=["finished"])["finished"].to_numpy()
    first, last = finished.min(), finished.max()
    counted = int((finished > first).sum())
    print(json.dumps({"images": len(finished), "rate": counted / (last - first)}))


if __name__ == "__main__":
    main()
