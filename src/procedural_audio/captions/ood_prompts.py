"""Out-of-distribution prompts: wordings that the caption grammar cannot produce.

Their authors knew only the names of the sound classes. Prompts that a frame of the grammar could
have produced were removed. The second set was written after the training of the bundled `mini`.
"""

from __future__ import annotations

import re

from .grammar import normalize_sentence
from .handwritten import handwritten_captions

_PROMPTS = (
    ("bell", "church tower chiming noon across the village"),
    ("gong", "huge bronze temple disc struck with a padded mallet"),
    ("glass", "two champagne flutes clinking together in a toast"),
    ("shatter", "a window smashing into pieces all over the floor"),
    ("footsteps", "someone in high heels walking down an empty corridor"),
    ("door", "rusty hinges creaking as somebody enters the haunted house"),
    ("knock", "knuckles rapping three times on wood, is anybody home"),
    ("hammer", "carpenter pounding nails into a plank"),
    ("rain", "steady downpour pattering on a tin roof"),
    ("hail", "ice pellets bouncing off a car bonnet"),
    ("wind", "howling gale whistling round the chimney"),
    ("sea", "waves rolling onto a sandy beach"),
    ("thunder", "distant rumble after a lightning flash"),
    ("drip", "leaky tap, one drop at a time"),
    ("bubbles", "blowing through a straw into my milk"),
    ("steam", "pressure cooker valve letting off a long hiss"),
    ("bird", "sweet morning chirping from a robin in the garden"),
    ("owl", "spooky nighttime hooting from the old barn"),
    ("rooster", "cock a doodle doo at sunrise"),
    ("duck", "quacking at the pond while we throw bread"),
    ("dog", "angry rottweiler barking behind a fence"),
    ("cat", "hungry kitten meowing for dinner"),
    ("wolf", "lone predator howling at the full moon"),
    ("cow", "mooing from a dairy pasture"),
    ("sheep", "flock of lambs going baa"),
    ("horse", "hooves clip clopping along cobblestones"),
    ("frog", "bullfrogs croaking in the swamp after dark"),
    ("cricket", "insects chirping in the grass on a summer night"),
    ("bee", "angry hive buzzing, about to sting"),
    ("woodpecker", "a beak drumming fast against a tree trunk"),
    ("engine", "old pickup truck starting up and idling"),
    ("motorcycle", "harley revving at the traffic lights"),
    ("train", "steam locomotive chugging along the tracks"),
    ("helicopter", "chopper rotor blades thudding overhead"),
    ("airplane", "passenger jet taking off from the runway"),
    ("siren", "police car wailing through city streets"),
    ("alarm", "smoke detector beeping because i burnt the toast"),
    ("phone", "incoming call ringing on an old rotary handset"),
    ("foghorn", "deep blast from a lighthouse warning ships in mist"),
    ("clock", "grandfather ticking away, tick tock, in a quiet hallway"),
    ("keyboard", "office worker typing an email really fast"),
    ("printer", "inkjet churning out pages of my homework"),
    ("camera", "paparazzi shutter clicking on the red carpet"),
    ("vacuum", "hoovering the living room carpet"),
    ("fan", "bedroom blades whirring to keep me cool in summer"),
    ("drill", "neighbour boring holes into the wall with power tools"),
    ("sewing", "grandma stitching a hem on her singer machine"),
    ("laser", "pew pew from a spaceship blaster"),
    ("gunshot", "single pistol fired in an alley"),
    ("coin", "loose change dropped and spinning on a table"),
    ("heartbeat", "lub dub inside a nervous chest"),
    ("whistle", "referee blowing for full time"),
    ("piano", "slow chords on a concert steinway"),
    ("drum kit", "rock solo with snare, toms and crashing cymbals"),
)
_SECOND_PROMPTS = (
    ("dog", "puppy yapping at the mailman"),
    ("cat", "hungry kitty goes meow meow at breakfast time"),
    ("sheep", "Baaa! little lamb calling its mother"),
    ("horse", "horse neighing in a stable, close mic"),
    ("wolf", "distant howl of a wolf at midnight"),
    ("rooster", "cock-a-doodle-doo at sunrise on the farm"),
    ("owl", "hoo hoo, nocturnal hooting from a dark barn"),
    ("frog", "ribbit ribbit, swamp ambience at night"),
    ("bee", "buzzing honey maker hovering around a flower"),
    ("rain", "heavy rain on a tent, for sleeping"),
    ("wind", "cold blizzard gusts whooshing across a mountain peak"),
    ("sea", "waves crashing on a sandy beach"),
    ("thunder", "Thunder rumble, distant, long tail"),
    ("fire", "logs crackling in the hearth, cozy evening"),
    ("drip", "leaky faucet, slow plink plink into the sink"),
    ("stream", "little stream trickling over mossy rocks"),
    ("bubbles", "blub blub blub, scuba diver exhaling underwater"),
    ("knock", "somebody knocks politely, may I come in?"),
    ("footsteps", "walking slowly on gravel with heavy boots"),
    ("door", "creaky old door opening in a haunted house"),
    ("applause", "the whole theatre audience claps after the final act"),
    ("woodpecker", "beak rapidly pecking a hollow tree trunk in the forest"),
    ("shatter", "window smashed by a rock, shards everywhere"),
    ("hammer", "carpenter pounding nails with a hammer"),
    ("coin", "a penny dropped and spinning on the table"),
    ("gong", "huge temple gong struck once, long decay"),
    ("clock", "tick tock tick tock, quiet room"),
    ("drill", "power drill going into a concrete wall"),
    ("vacuum", "my mom is hoovering the carpet"),
    ("washer", "laundry sloshing around, then the spin cycle"),
    ("printer", "inkjet printer spitting out a page"),
    ("engine", "truck engine idle, parked, low diesel rumble"),
    ("revving", "vroom vroom, racer stomps the gas pedal at the start line"),
    ("motorcycle", "biker roaring on his motorbike down the highway"),
    ("train", "the train passes over rails, clickety clack"),
    ("train", "passing freight train clattering over the rails"),
    ("airplane", "passenger jet roaring overhead on takeoff"),
    ("siren", "ambulance siren rushing through the city"),
    ("alarm", "annoying beep beep beep that wakes me every morning"),
    ("horn", "angry driver honking in traffic"),
    ("foghorn", "deep long blast of a ship lost in the mist"),
    ("heartbeat", "lub-dub, lub-dub through a stethoscope"),
    ("tone", "plain sine wave, steady test tone"),
    ("doorbell", "ding dong, the pizza guy is here"),
    ("arcade", "retro chiptune power-up for my pixel platformer"),
    ("camera", "paparazzi taking one photo, shutter click"),
    ("laser", "pew pew! sci-fi blaster shot"),
    ("explosion", "massive movie explosion with debris and a deep boom"),
    ("piano", "sad piano melody, played slow and soft"),
    ("electric guitar", "heavy metal riff on a distorted electric guitar"),
    ("violin", "fiddle player doing a lively Irish jig, solo"),
    ("trumpet", "royal trumpet fanfare announcing the king"),
    ("organ", "big cathedral pipes playing a solemn wedding hymn"),
    ("accordion", "parisian street musician with his squeezebox"),
    ("music box", "wind-up ballerina jewelry box tinkling a lullaby"),
    ("synth pad", "lush ambient synth pad, dreamy and slowly evolving"),
    ("choir", "many monks singing together in an abbey"),
    ("drum kit", "rock drummer groove with kick, snare and hi-hat"),
    ("male speech", "an old man telling a story in a deep voice"),
    ("female speech", "woman reading the evening news calmly"),
)
_FUNCTION_WORDS = re.compile(
    r"\b(an?|and|as|at|by|for|from|her|his|i|in|into|is|its?|me|my|off?|on|onto|or|out|over"
    r"|some(body|one|thing)?|the|their|then|through|to|up|us|we|while|with|your)\b"
)


def ood_prompts() -> tuple[tuple[str, str], ...]:
    """Return the first set: pairs of a sound class and a prompt for it."""
    return _PROMPTS


def second_ood_prompts() -> tuple[tuple[str, str], ...]:
    """Return the second set, of other authors: pairs of a sound class and a prompt for it."""
    return _SECOND_PROMPTS


def has_novel_wording(name: str, prompt: str) -> bool:
    """Whether a prompt shares at most one content word with each caption of its class.

    Args:
        name: Name of the sound class.
        prompt: The prompt.

    Returns:
        True if no handwritten caption of the class shares two content words with the prompt.
    """
    prompt_words = _content_words(prompt)
    captions = handwritten_captions()[name]
    return all(len(prompt_words & _content_words(caption)) < 2 for caption in captions)


def _content_words(text: str) -> set[str]:
    return set(_FUNCTION_WORDS.sub(" ", normalize_sentence(text)).split())
