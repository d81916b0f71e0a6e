using System.Text.Json;
using Platform.StoreDeployer.Rendering;

namespace Platform.StoreDeployer.Tests.Rendering;

/// <summary>Shops as merchants might have them, to render the built-in templates with: of different sizes, in different languages, with and without pictures.</summary>
internal static class SampleShops
{
    public static readonly IReadOnlyList<string> Names = ["empty", "one", "twelve", "many", "arabic", "hebrew", "japanese", "german"];

    public static StoreSpec Create(string name, string slug, string host = "http://localhost:9003") => (name switch
    {
        "empty" => Shop("Opening <soon> & more", "en-GB", "EUR", []),
        "one" => Shop("Nordlicht", "en-GB", "EUR", [Lamp(host)]) with { Settings = Settings(host, Solo) },
        "twelve" => Shop("Field & Kiln", "en-GB", "GBP", Pottery(host)) with
        {
            Collections =
            [
                new("cups", "Cups", "For coffee, tea and everything warm.", [.. Enumerable.Range(1, 5).Select(Sku)]),
                new("plates-and-bowls", "Plates and bowls", null, [.. Enumerable.Range(5, 6).Select(Sku)]),
                new("new", "New this spring with a name that goes on for longer than a menu is wide", "Fresh from the kiln.", [Sku(11), Sku(12)]),
                new("soon", "Soon", null, []),
            ],
            Settings = Settings(host, new()
            {
                ["heroImage"] = $"{host}/pictures/5.svg",
                ["announcement"] = "Free delivery from £60, carbon neutral",
                ["about"] = "Stoneware from a small kiln.\n\nEvery piece is thrown by hand and fired twice. <b>No two are alike.</b>",
                ["promise1"] = "30 days to return",
                ["promise2"] = "Made in Cornwall",
                ["promise3"] = "Dishwasher safe",
            }),
        },
        "many" => Shop("<script>alert(1)</script>", "en-US", "USD", Hardware(host)) with
        {
            Collections = [.. Enumerable.Range(0, 24).Select(n => new CollectionSpec($"part-{n}", $"Department {n + 1}", null, [.. Enumerable.Range(1, 500).Where(i => i % 24 == n || n == 0).Select(Sku)]))],
        },
        "arabic" => Shop("بيت الخزف", "ar-EG", "EGP", Translated(host, ["كوب أزرق", "إبريق شاي من الخزف الحجري بمقبض من الخيزران الطبيعي", "طبق تقديم", "مزهرية", "وعاء صغير", "صينية"],
            "مصنوع يدويًا في الفسطاط.\nيُغسل في غسالة الأطباق.", ["المقاس"], ["صغير", "كبير"], 1)) with
        {
            Collections = [new("c1", "أكواب", "للقهوة والشاي.", [Sku(1), Sku(2)]), new("c2", "أطباق", null, [Sku(3), Sku(5), Sku(6)])],
            Settings = Settings(host, new() { ["tagline"] = "خزف من القاهرة، يُصنع باليد.", ["announcement"] = "التوصيل مجاني حتى يوم الأحد", ["about"] = "نصنع الخزف منذ ثلاثة أجيال.", ["headline"] = "" }),
        },
        "hebrew" => Shop("בית הקרמיקה", "he-IL", "ILS", Translated(host, ["ספל כחול", "קומקום תה מחרס עם ידית במבוק", "צלחת הגשה", "אגרטל", "קערה קטנה"],
            "עבודת יד.\nמתאים למדיח.", ["מידה"], ["קטן", "גדול"], 1)) with
        {
            Collections = [new("c1", "ספלים", null, [Sku(1), Sku(2)])],
            Settings = Settings(host, new() { ["tagline"] = "קרמיקה בעבודת יד מיפו.", ["about"] = "אנחנו סטודיו קטן." }),
        },
        "japanese" => Shop("陶々舎", "ja-JP", "JPY", Translated(host, ["青い湯呑み", "竹の持ち手がついた石炻器の急須（八百ミリリットル）", "大皿", "花器", "小鉢", "箸置き五個組"],
            "京都の小さな窯で、ひとつひとつ手作業で焼き上げています。\n食器洗い機でお使いいただけます。", ["サイズ"], ["小", "大"], 100)) with
        {
            Collections = [new("c1", "湯呑み", "毎日のお茶の時間に。", [Sku(1), Sku(2)]), new("c2", "皿と鉢", null, [Sku(3), Sku(5)])],
            Settings = Settings(host, new() { ["tagline"] = "毎日の食卓に、手仕事のうつわを。", ["about"] = "京都で三代続く窯元です。", ["storyTitle"] = "土と火の話" }),
        },
        "german" => Shop("Donaudampfschifffahrtsbedarf", "de-DE", "EUR", Translated(host, ["Becher", "Rindfleischetikettierungsüberwachungsaufgabenteekanne", "Servierplatte", "Vase", "Schüssel"],
            "Von Hand gedreht.\nSpülmaschinenfest.", ["Größe", "Farbe"], ["klein", "groß"], 1)) with
        {
            Collections = [new("c1", "Geschirr", null, [Sku(1), Sku(2), Sku(3)])],
            Settings = Settings(host, new() { ["tagline"] = "Steinzeug aus Passau.", ["appearance"] = "auto" }),
        },
        _ => throw new ArgumentException("There is no such shop.", nameof(name)),
    }) with
    { Slug = slug, Url = new Uri($"{host}/stores/{slug}/") };

    private static readonly Dictionary<string, object> Solo = new()
    {
        ["eyebrow"] = "New in brushed brass",
        ["tagline"] = "A lamp that goes where the evening goes.",
        ["fact1"] = "38 h",
        ["factText1"] = "of light from one charge, at the brightness of a candle",
        ["fact2"] = "0",
        ["factText2"] = "glued parts: everything can be opened, mended and replaced",
        ["fact3"] = "10 years",
        ["factText3"] = "of spare parts, promised in writing",
        ["storyTitle"] = "It began with a power cut",
        ["chapterTitle"] = "Made to be mended",
        ["chapterText"] = "Four screws hold it together.\n\nThe battery is one that you can buy anywhere, and the shade comes off without tools.",
        ["chapterImage"] = "{host}/pictures/6.svg",
        ["picture1"] = "{host}/pictures/2.svg",
        ["picture2"] = "{host}/pictures/3.svg",
        ["picture3"] = "{host}/pictures/missing.jpg",
        ["quote"] = "The only lamp I have carried to bed, to the bath and to Norway.",
        ["quoteAuthor"] = "Ingrid, who lives on a boat",
        ["question1"] = "How long does delivery take?",
        ["answer1"] = "Three days within Europe, ten elsewhere.",
        ["question2"] = "Can I return it?",
        ["answer2"] = "Yes, within 30 days.\nWe pay for the parcel.",
        ["question3"] = "Is it bright enough to read?",
        ["answer3"] = "At its brightest it has 220 lumens, as much as a bedside lamp.",
        ["about"] = "We are three people in Bergen.\n\nWe make one lamp.",
    };

    private static StoreSpec Shop(string name, string locale, string currency, ProductSpec[] products) => new("", new Uri("http://localhost/"), name, Settings("", []), products)
    {
        Locale = locale,
        Currency = currency,
    };

    private static Dictionary<string, JsonElement> Settings(string host, Dictionary<string, object> settings) =>
        settings.Append(new("contactEmail", "hello@example.com")).ToDictionary(
            s => s.Key, s => JsonSerializer.SerializeToElement(s.Value is string text ? text.Replace("{host}", host, StringComparison.Ordinal) : s.Value));

    private static string Sku(int number) => $"{1000 + number}";

    private static ProductSpec Lamp(string host) => new("N-1", "Nordlicht travelling lamp", 189, "EUR",
        "In the winter of 2019 a storm took the power from our street for four days. We found candles, and one torch that lit the ceiling and nothing else.\n\n"
        + "So we drew a lamp that stands beside a plate, hangs from a branch, and dims to the light of a candle. It took two years, nine prototypes and one fire brigade.\n\n"
        + "It is spun from a single sheet of brass, twelve kilometres from where we live. The brass is not lacquered: it darkens where it is touched, and after a year it is yours.",
        $"{host}/pictures/1.svg")
    {
        CompareAtPrice = 219,
        Options = ["Finish"],
        Variants = [new("N-1-B", ["Brass"], 189), new("N-1-S", ["Steel"], 189), new("N-1-C", ["Copper, first edition, numbered from 1 to 100"], 249, Available: false)],
    };

    private static ProductSpec[] Pottery(string host)
    {
        string[] names =
        [
            "Espresso cup", "Mug", "Mug with an unusually long name that needs more than one line in any grid, whatever its columns", "Tea bowl", "Saucer", "Dinner plate", "Side plate",
            "Serving bowl", "Ramen bowl", "Butter dish", "Vase, tall", "Donaudampfschifffahrtsgesellschaftskapitänskajütenschlüsselbrett",
        ];
        return [.. names.Select((name, i) => new ProductSpec(Sku(i + 1), name, 12.50m + (7 * i), "GBP", "Blue glaze over <dark> clay.\nHolds 250 ml.", i switch
        {
            3 => null,
            7 => $"{host}/pictures/missing.jpg",
            _ => $"{host}/pictures/{(i % 8) + 1}.svg",
        })
        {
            CompareAtPrice = i % 5 == 1 ? 29 + (7 * i) : null,
            Available = i % 6 != 4,
            Options = i % 4 == 1 ? ["Size", "Glaze"] : [],
            Variants = i % 4 == 1
                ? [.. from size in (string[])["Small", "Large"] from glaze in (string[])["Blue", "Celadon", "Ash"]
                      select new VariantSpec($"{Sku(i + 1)}-{size[0]}{glaze[0]}", [size, glaze], (size == "Small" ? 12.50m : 16) + (7 * i), glaze != "Ash")]
                : [],
        })];
    }

    private static ProductSpec[] Hardware(string host) =>
        [.. Enumerable.Range(1, 500).Select(n => new ProductSpec(Sku(n), $"Product <{n}> {((string[])["hinge", "screw", "bracket", "hook"])[n % 4]}", n * 1.15m, "USD", "Line one\nline two",
            n % 3 == 0 ? $"{host}/pictures/{(n % 8) + 1}.svg" : null) { CompareAtPrice = n % 7 == 0 ? n * 1.5m : null, Available = n % 11 != 0 })];

    private static ProductSpec[] Translated(string host, string[] names, string description, string[] options, string[] values, int factor) =>
        [.. names.Select((name, i) => new ProductSpec(Sku(i + 1), name, (1450m * factor) + (i * 100), "", description, i == 3 ? null : $"{host}/pictures/{(i % 8) + 1}.svg")
        {
            CompareAtPrice = i == 2 ? 2400m * factor : null,
            Available = i != 4,
            Options = i == 1 ? options : [],
            Variants = i == 1
                ? [.. values.Select((value, n) => new VariantSpec($"{Sku(i + 1)}{n}", [.. options.Select((_, o) => o == 0 ? value : "blau")], (1450m * factor) + (n * 300), n == 0))]
                : [],
        })];
}
