// The way from what a viewer did to a media, step by step.

const DID = { like: "liked", save: "saved", share: "shared", comment: "commented on", long_view: "watched for long", view: "saw" };
/** What says most of a viewer comes first. */
const STRENGTH = ["save", "share", "comment", "like", "long_view", "view"];

/** What a source is, for people; others are called by their operators. */
const SOURCES = {
  alike: "liked by the same viewers as what you liked",
  popular: "popular with everybody",
  evergreen: "liked by everybody for a long time",
  fresh: "new",
  account_nn: "posted by that account",
  posted_media: "posted by that account",
  co_engaged: "liked together with what you liked",
  similar_image: "its picture is like one you liked",
};

const told = (source) => SOURCES[source] ?? source.replaceAll("_", " ");

/**
 * @param {object} found an explanation of /v1/explain
 * @param {object|null} viewer the answer of /v1/viewers/{id}
 * @returns {{name: string, told: string, media?: string, author?: string, account?: string}[]}
 */
export function pathOf(found, viewer) {
  if (!found.source) return [];
  const steps = [];
  const { seed } = found;
  if (seed) {
    const acts = (viewer?.actions ?? []).filter((one) => one.author_id === seed && one.action in DID);
    acts.sort((a, b) => STRENGTH.indexOf(a.action) - STRENGTH.indexOf(b.action));
    const [act] = acts;
    if (act) steps.push({ name: act.media_id, media: act.media_id, author: seed, told: `You ${DID[act.action]} it` });
    else steps.push({ name: found.viewer_id, told: "You, by what you did before" });
    steps.push({ name: seed, account: seed, told: "The account that led here, the seed" });
  } else steps.push({ name: found.viewer_id, told: "No single account led here" });
  const near = found.author_id && found.author_id !== seed;
  if (near && (found.source === "account_nn" || found.source === "posted_media")) {
    steps.push({ name: found.author_id, account: found.author_id, told: "An account near it" });
  }
  const score = found.source_score === null ? "" : `, score ${Number(found.source_score.toPrecision(3))}`;
  steps.push({
    name: found.media_id, media: found.media_id, author: found.author_id ?? "",
    told: `${told(found.source)}: number ${found.source_rank + 1} of that source${score}`,
  });
  return steps;
}
