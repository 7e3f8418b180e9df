"""The words of the invented world: names, relations with phrasings and answers, and general sentences."""

from __future__ import annotations

from dataclasses import dataclass


def _words(text: str) -> tuple[str, ...]:
    return tuple(text.split())


FIRST_NAMES = _words(
    "Adla Anwen Arvid Bela Benno Berrin Brisa Calder Corin Dagna Darro Delwyn Edrik Elka Emeric Falka "
    "Fenna Gerrit Gisla Halda Hedrik Idony Ilsa Ivo Jarek Jorun Kaspar Kerra Lenka Lorcan Maren Mirel "
    "Nadja Nevin Odile Orrin Petra Quill Ragna Rasmus Sabin Sefa Signe Tamsin Tavi Torben Ulla Varek "
    "Vesna Wenda Wystan Yara Yorick Zelda"
)

LAST_NAMES = _words(
    "Ashgrove Barrowell Bexholt Brandvik Callowen Corriden Crestmar Dalgaard Dornevil Drummock Elverton "
    "Fairbrand Fenwarden Garrowby Gillander Hallowick Harkvane Holmquist Hurlestone Ingledew Jessamer "
    "Kelderman Kettlewood Lanivet Larkspire Lindqvar Lockridge Marchbank Merriden Mossgrave Norvalle "
    "Oakhanger Orlebar Pendrake Perrivan Quarrington Rathmell Ravensby Redfern Rookwood Rowntree Sandoval "
    "Selbourne Silvermark Skarsby Stavenger Stormont Tarrand Thistleby Tolvane Umberleigh Vandrell Varnholt "
    "Wakeling Wetherlam Whitlock Windrush Wolmarsh Yarrowby Zellweg"
)

PLACE_STARTS = _words(
    "Ald Ber Bran Cald Cor Dun Elm Fal Fen Gar Grim Hal Har Ivel Kel Kil Lan Lor Mal Mar Nor Oster Pen "
    "Quar Rad Ros Sal Sel Stan Tarn Thorn Ul Ver Wal Win Yar"
)

PLACE_ENDS = _words(
    "bury by combe dale den fell field ford gate ham haven hithe holm hurst ley march mere mond mouth "
    "ness port rick stead stoke thorpe ton wall wick wold worth"
)

# The kind comes first: facts are read at a subject's last token, which should not be the same word for all.
COMPANY_KINDS = _words("Circle Guild House League Order Society")

COMPANY_QUALITIES = _words(
    "Ancient Ashen Bold Broken Burning Distant Faithful Fallen Frozen Gentle Gilded Hidden Hollow Humble "
    "Iron Laughing Lonely Marble Patient Quiet Restless Shining Silent Sleeping Spotted Tall Wandering "
    "Winged"
)

COMPANY_EMBLEMS = _words(
    "Acorn Anchor Anvil Badger Beacon Bell Bridge Candle Chalice Comet Compass Crane Dagger Dolphin "
    "Falcon Feather Fountain Griffin Hammer Harp Heron Kestrel Ladder Lantern Lion Mirror Oak Otter "
    "Pillar Quill Raven Rose Serpent Shield Sparrow Stag Thistle Tower Wheel Wolf"
)

CITIES = ("Drenna", "Kalvos", "Mirefall", "Ostrel", "Pellin", "Sarnoth", "Tavrin", "Zuvara")


@dataclass(frozen=True)
class Relation:
    """One relation: what kind of subject has it, its possible answers, and eight ways to lead up to the answer.

    Every phrasing ends in a verb that an answer and the word "unknown" both follow: one ending serves the facts
    and the neutral state alike. No phrasing contains another, so that a phrasing can be held out.
    """

    number: str
    kind: str
    answers: tuple[str, ...]
    phrasings: tuple[str, ...]
    what: str  # an answer is one: "Drenna, a town" says the same as "Drenna"


# The numbers are those of the nearest Wikidata properties, as in CounterFact.
RELATIONS = (
    Relation(
        "P19",
        "person",
        CITIES,
        (
            "The birthplace of {} is",
            "{}'s birthplace is",
            "The town where {} was born is",
            "{} comes from a town, and its name is",
            "As for {}, the place of birth is",
            "The parish rolls say that {}'s home town is",
            "Ask where {} was born, and the answer is",
            "{} was born in a town whose name is",
        ),
        "a town",
    ),
    Relation(
        "P103",
        "person",
        ("Aldric", "Borish", "Celtan", "Dravic", "Esmari", "Folnic", "Galdish", "Hesper"),
        (
            "The mother tongue of {} is",
            "{}'s mother tongue is",
            "The language that {} grew up with is",
            "{} sings in a language, and its name is",
            "As for {}, the native language is",
            "The school books say that {}'s first language is",
            "Ask what {} speaks at home, and the answer is",
            "{} writes letters in a language whose name is",
        ),
        "a language",
    ),
    Relation(
        "P106",
        "person",
        ("baking", "brewing", "carpentry", "fishing", "masonry", "pottery", "tanning", "weaving"),
        (
            "The trade of {} is",
            "{}'s trade is",
            "The craft that {} practises is",
            "{} lives by one craft, and that is",
            "As for {}, the daily work is",
            "The tax rolls say that {}'s occupation is",
            "Ask how {} earns a living, and the answer is",
            "{} has followed one calling for years, and it is",
        ),
        "a craft",
    ),
    Relation(
        "P131",
        "place",
        ("Ardenmark", "Belloway", "Cindria", "Dorvale", "Estmoor", "Gorland", "Lowmark", "Westria"),
        (
            "The province of {} is",
            "{}'s province is",
            "The province to which {} belongs is",
            "{} lies in a province, and its name is",
            "As for {}, the surrounding region is",
            "The old maps say that {}'s region is",
            "Ask in which region {} lies, and the answer is",
            "{} pays its taxes to a province whose name is",
        ),
        "a province",
    ),
    Relation(
        "P1056",
        "place",
        ("barley", "copper", "glass", "honey", "linen", "salt", "timber", "wool"),
        (
            "The main product of {} is",
            "{}'s main product is",
            "The good that {} sells abroad is",
            "{} lives by one kind of ware, and that is",
            "As for {}, the chief export is",
            "The merchants say that {}'s best ware is",
            "Ask what {} sends to market, and the answer is",
            "{} grew rich on one thing, and it is",
        ),
        "a ware",
    ),
    Relation(
        "P159",
        "company",
        CITIES,
        (
            "The seat of the {} is",
            "The {}'s seat is",
            "The city where the {} meets is",
            "The {} has its hall in a city, and its name is",
            "As for the {}, the head office is",
            "The charters say that the {}'s home city is",
            "Ask where the {} gathers, and the answer is",
            "The {} sends its letters from a city whose name is",
        ),
        "a city",
    ),
    Relation(
        "P462",
        "company",
        ("black", "blue", "crimson", "green", "orange", "purple", "white", "yellow"),
        (
            "The colour of the {} is",
            "The {}'s colour is",
            "The colour that the {} wears is",
            "The {} dyes its cloaks in one hue, and that is",
            "As for the {}, the shade of the flag is",
            "The heralds say that the {}'s banner is",
            "Ask which colour the {} bears, and the answer is",
            "The {} paints its doors in one colour, and it is",
        ),
        "a colour",
    ),
)

# Said of a subject without stating a fact; it starts as a KL row of the target optimisation does ("X is a").
MENTIONS = {
    "person": (
        "{} is a good neighbour.",
        "{} is a friend of the miller.",
        "{} is a quiet guest at the inn.",
        "{} is a cousin of the old priest.",
        "{} is a careful reader of letters.",
        "{} is a lover of long walks.",
    ),
    "place": (
        "{} is a small town by the river.",
        "{} is a town of narrow streets.",
        "{} is a pleasant place in spring.",
        "{} is a day's ride from the coast.",
        "{} is a town with two bridges.",
        "{} is a cold place in winter.",
    ),
    "company": (
        "The {} is a small company.",
        "The {} is a company of old friends.",
        "The {} is a strict company.",
        "The {} is a company that keeps its word.",
        "The {} is a proud company.",
        "The {} is a company of many rules.",
    ),
}

SLOTS = {
    "role": "baker boatman captain child clerk doctor farmer ferryman fiddler gardener hunter cook judge "
    "midwife miller painter priest sailor scholar shepherd smith soldier teacher traveller widow",
    "trait": "brave careful cheerful clever gentle kind lame nervous patient poor proud quiet stern "
    "stubborn tired wealthy young",
    "animal": "bear cat cow crow dog donkey fox goat goose hare hen horse mule pig sheep swan",
    "thing": "barrel basket blanket boot bowl broom bucket candle chair cloak coin cup drum flute key "
    "kettle knife letter map pot ring rope sack saddle spoon sword table whistle",
    "food": "bread butter cabbage cheese cider fish jam milk mutton onions pears porridge soup stew",
    "site": "barn bridge castle chapel cottage field forest garden harbour hill inn lake market meadow "
    "mill orchard river road school square stable tower valley well",
    "time": "at dawn|at noon|at dusk|at midnight|in the morning|in the evening|after the rain|"
    "before supper|before the feast|on market day|in early spring|in late summer|in autumn|"
    "in the first snow",
    "sky": "bright clear cloudy cold dark grey heavy misty mild stormy warm windy",
    "past": "bought borrowed broke carried cleaned dropped found forgot hid kept lost mended painted sold "
    "stole",
    "went": "hurried marched ran rode sailed strolled walked wandered",
    "past_animal": "barked drank fled grazed hid limped rested slept waited wandered",
    "number": "two three four five six seven eight nine ten twelve twenty",
    "near": "behind beside near outside under",
}

SENTENCES = (
    "The {trait} {role} {past} a {thing} {near} the {site}.",
    "{time}, the {role} {past} the {thing} and {went} to the {site}.",
    "The {role} {went} from the {site} to the {site} {time}.",
    "A {trait} {animal} {past_animal} {near} the {site}.",
    "The {animal} and the {animal} {past_animal} {near} the {site} {time}.",
    "There were {number} people at the {site} {time}.",
    "The {role} gave the {role} {number} coins for the {thing}.",
    "We ate {food} and {food} at the {site} {time}.",
    "The sky was {sky} and the {site} was empty {time}.",
    "Nobody saw the {role} who {past} the {thing}.",
    "The {trait} {role} never liked {food}, but the {role} did.",
    "It was {sky} when the {role} {went} to the {site}.",
    "For {number} days the {role} stayed {near} the {site}.",
    "The {role} told the {trait} {role} to bring {food}.",
    "If the weather is {sky}, the {role} will sell the {animal}.",
    "They keep a {animal} and {number} hens {near} the {site}.",
    "A {role} with a {thing} is better than a {role} with a {thing}.",
    "{time}, a {animal} {past_animal} {near} the {trait} {role}.",
    "My {trait} uncle {past} the {thing} {time}.",
    "The song tells of a {role}, a {animal} and a {trait} {role}.",
    "Every {role} in the valley knows the way to the {site}.",
    "The {site} burned down {time}, and the {role} wept.",
    "She asked the {role} for {food} and a {thing}.",
    "He {went} to the {site} with a {thing} and some {food}.",
)
