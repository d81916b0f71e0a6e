using System.Globalization;
using Platform.Backend.Catalog;
using Platform.Backend.Shops;
using Platform.ServiceDefaults.Problems;

namespace Platform.Backend.Tests.Shops;

public sealed class ShopRulesTests
{
    [Theory]
    [InlineData("a")]
    [InlineData("7")]
    [InlineData("blue-mug-2")]
    [InlineData("a--b")]
    [InlineData("aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa")] // 63
    public void A_slug_of_small_letters_digits_and_inner_hyphens_is_fine(string slug) => ErrorsOfSlug(slug).ShouldBeEmpty();

    [Theory]
    [InlineData("")]
    [InlineData("-a")]
    [InlineData("a-")]
    [InlineData("Blue")]
    [InlineData("a b")]
    [InlineData("a.b")]
    [InlineData("a/b")]
    [InlineData("a\n")]
    [InlineData("münchen")]
    [InlineData("🛍")]
    [InlineData("aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa")] // 64
    [InlineData("api")]
    [InlineData("www")]
    public void Any_other_slug_is_refused(string slug) => ErrorsOfSlug(slug).ShouldBe(["slug"]);

    [Theory]
    [InlineData("<script>alert(1)</script>")]
    [InlineData("Çiçek & 花 🌸")]
    [InlineData("  padded  ")]
    [InlineData("متجر القهوة")]
    [InlineData("خانه‌ها")] // with a zero width non-joiner
    [InlineData("חנות ספרים")]
    [InlineData("\u200fחנות (2)\u200f")] // right-to-left marks
    [InlineData("花と本の店")]
    [InlineData("हिन्दी")]
    [InlineData("👩‍🚀👨‍👩‍👧 🏳️‍🌈")]
    [InlineData("❤️")]
    public void A_name_is_any_printable_text(string name) => Errors(Shop() with { Name = name }).ShouldBeEmpty();

    [Theory]
    [InlineData("")]
    [InlineData("   ")]
    [InlineData("a\tb")]
    [InlineData("a\u0085b")]
    [InlineData("a\u2028b")]
    [InlineData("\u200b")] // zero width space
    [InlineData("\u200d\ufe0f")]
    [InlineData("\ufeff \u00ad")]
    [InlineData("\u3164")] // Hangul filler
    [InlineData("\u2800")] // empty Braille pattern
    [InlineData("abc\u202egnp.exe")]
    [InlineData("\u202aabc\u202c")]
    [InlineData("\u2066abc\u2069")]
    [InlineData("aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa")] // 101
    public void A_name_that_is_empty_long_or_not_printable_is_refused(string name) => Errors(Shop() with { Name = name }).ShouldBe(["name"]);

    [Fact]
    public void Every_bad_field_of_every_product_is_named()
    {
        var shop = Shop() with
        {
            Products =
            [
                Product(),
                Product() with { Sku = "mug-1", Name = "", Price = -1, Currency = "EURO" },
                Product() with { Sku = "", Price = 1.005m, ImageUrl = "javascript:alert(1)", Description = "a\u0007" },
                Product() with { Sku = "B", Price = 1_000_000_000.01m, Currency = "eur", ImageUrl = "//evil.test/x.png" },
            ],
        };

        Errors(shop).ShouldBe(
            [
                "products[1].sku", "products[1].name", "products[1].price", "products[1].currency",
                "products[2].sku", "products[2].description", "products[2].price", "products[2].imageUrl",
                "products[3].price", "products[3].currency", "products[3].imageUrl",
            ],
            ignoreOrder: true);
    }

    [Fact]
    public void Two_products_whose_pages_would_have_one_address_are_refused() =>
        Errors(Shop() with { Products = [Product() with { Sku = "a.b" }, Product() with { Sku = "a_b" }] }).ShouldBe(["products[1].sku"]);

    [Fact]
    public void Products_at_every_limit_are_fine()
    {
        var product = Product() with
        {
            Sku = new string('A', 64),
            Name = new string('n', 200),
            Description = new string('d', 4_999) + "\n",
            Price = 1_000_000_000m,
            ImageUrl = "https://cdn.test/" + new string('i', 1_983),
        };
        var others = Enumerable.Range(0, ShopRules.MaxProducts - 1).Select(i => Product() with { Sku = $"S{i}", Price = 0 });

        Errors(Shop() with { Products = [product, .. others] }).ShouldBeEmpty();
    }

    [Fact]
    public void One_product_too_many_is_refused() =>
        Errors(Shop() with { Products = [.. Enumerable.Range(0, ShopRules.MaxProducts + 1).Select(i => Product() with { Sku = $"S{i}" })] }).ShouldBe(["products"]);

    [Fact]
    public void Stored_products_have_trimmed_names_and_the_decimals_of_their_currency()
    {
        var errors = new ValidationErrors();
        var products = ShopRules.Check(errors, Shop() with { Products = [Product() with { Name = " Mug ", Price = 12.5000m, Description = " ", ImageUrl = "" }] }, known: null, []);

        errors.Any.ShouldBeFalse();
        var product = products.ShouldHaveSingleItem();
        (product.Name, product.Description, product.ImageUrl).ShouldBe(("Mug", null, null));
        product.Price.ToString(CultureInfo.InvariantCulture).ShouldBe("12.50");
    }

    [Theory]
    [InlineData("en", "en")]
    [InlineData("DE-ch", "de-CH")]
    [InlineData("zh-hant-tw", "zh-Hant-TW")]
    [InlineData("es-419", "es-419")]
    [InlineData("sl-rozaj-biske-1994", "sl-rozaj-biske-1994")]
    [InlineData("ar-EG-u-nu-latn", "ar-EG-u-nu-latn")]
    [InlineData("en-x-Shop", "en-x-shop")]
    public void A_locale_is_a_language_tag_and_stored_in_its_usual_case(string locale, string stored)
    {
        Errors(Shop() with { Locale = locale }).ShouldBeEmpty();
        ShopRules.NormalizeLocale(locale).ShouldBe(stored);
    }

    [Theory]
    [InlineData("")]
    [InlineData("e")]
    [InlineData("english language")]
    [InlineData("en_US")]
    [InlineData("en-")]
    [InlineData("en-US-")]
    [InlineData("de-a")]
    [InlineData("x-shop")]
    [InlineData("en-\"><script>")]
    [InlineData("en\n")]
    public void Any_other_locale_is_refused(string locale) => Errors(Shop() with { Locale = locale }).ShouldBe(["locale"]);

    [Fact]
    public void A_shop_has_the_currency_of_its_products_and_only_one()
    {
        ShopRules.CurrencyOf(Shop(), known: null).ShouldBe("EUR");
        ShopRules.CurrencyOf(Shop() with { Products = [] }, known: null).ShouldBeNull();
        ShopRules.CurrencyOf(Shop() with { Products = [], Currency = "JPY" }, known: null).ShouldBe("JPY");
        Errors(Shop() with { Products = [Product(), Product() with { Sku = "B", Currency = "SEK" }] }).ShouldBe(["products[1].currency"]);
        Errors(Shop() with { Currency = "SEK" }).ShouldBe(["products[0].currency"]);
        Errors(Shop() with { Currency = "EURO" }).ShouldBe(["currency"]);
    }

    [Theory]
    [InlineData("https://cdn.test/mug.png?size=2", true)]
    [InlineData("/images/mug.png", true)]
    [InlineData("//evil.test/mug.png", false)]
    [InlineData("/\\evil.test/mug.png", false)]
    [InlineData("mug.png", false)]
    [InlineData("ftp://cdn.test/mug.png", false)]
    [InlineData("data:image/png;base64,AAAA", false)]
    [InlineData("https://cdn.test/a b.png", false)]
    [InlineData("/a\"onerror=\"alert(1)", false)]
    [InlineData("https://", false)]
    public void An_address_is_http_https_or_a_path_from_the_root(string address, bool fine) =>
        (FieldRules.RefuseAddress(address) is null).ShouldBe(fine);

    private static NewShop Shop() => new() { Slug = "blue-mug", Name = "Blue Mug", Template = new() { Name = "aurora" }, Products = [Product()] };

    private static ShopProduct Product() => new() { Sku = "MUG-1", Name = "Mug", Price = 12.50m, Currency = "EUR" };

    private static IReadOnlyList<string> ErrorsOfSlug(string slug)
    {
        var errors = new ValidationErrors();
        ShopRules.CheckSlug(errors, slug);
        return [.. errors.ToDictionary().Keys];
    }

    private static IReadOnlyList<string> Errors(NewShop shop)
    {
        var errors = new ValidationErrors();
        ShopRules.Check(errors, shop, known: null, []);
        return [.. errors.ToDictionary().Keys];
    }
}
