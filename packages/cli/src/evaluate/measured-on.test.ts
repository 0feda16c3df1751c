import { describe, expect, test } from "vitest";
import type { LoadedSplit } from "../data.js";
import { measuredOn } from "./measured-on.js";

const split = (folder: string, ...files: string[]) =>
  ({ imagesDir: folder, dataset: { images: files.map((file_name) => ({ file_name })) } }) as unknown as LoadedSplit;

describe("measuredOn", () => {
  const train = split("photos", "a.jpg", "b.jpg");
  const val = split("photos", "c.jpg");

  test("tells a split by the images it shares, whatever the folder is called", () => {
    expect(measuredOn({ split: split("photos", "d.jpg"), train, val })).toEqual({
      ...{ split: "test", images: 1, trainedOn: 0, chosenOn: 0 },
    });
    expect(measuredOn({ split: split("other/../photos", "c.jpg"), train, val }).split).toBe("validation");
    expect(measuredOn({ split: split("photos", "b.jpg", "a.jpg"), train, val }).split).toBe("training");
    // The same name in another folder is another picture.
    expect(measuredOn({ split: split("photos2", "a.jpg"), train, val }).trainedOn).toBe(0);
  });

  test("counts a leak, and does not claim what it cannot know", () => {
    expect(measuredOn({ split: split("photos", "a.jpg", "d.jpg"), train, val: "none" })).toEqual({
      ...{ split: "test", images: 2, trainedOn: 1, chosenOn: 0 },
    });
    expect(measuredOn({ split: split("photos", "a.jpg"), train: null, val: null })).toEqual({
      ...{ split: "test", images: 1, trainedOn: null, chosenOn: null },
    });
  });
});
