using System.Net;
using System.Text.Json.Nodes;
using Platform.Backend.Console;

namespace Platform.Backend.Tests.Console;

public sealed class ShopFormTests(BackendHost backend) : IClassFixture<BackendHost>, IDisposable
{
    private readonly ConsoleBrowser _browser = new(backend.Client.BaseAddress!);

    public void Dispose() => _browser.Dispose();

    [Fact]
    public async Task The_form_has_a_field_for_every_template_parameter()
    {
        var name = AddTemplate(EveryType());
        await _browser.OpenAsync($"/shops/new/{name}");

        var tagline = _browser.Field("Tagline");
        tagline.GetAttribute("name").ShouldBe("settings.tagline");
        tagline.GetAttribute("value").ShouldBe("Small & fine");
        tagline.GetAttribute("minlength").ShouldBe("2");
        tagline.GetAttribute("maxlength").ShouldBe("40");
        tagline.HasAttribute("required").ShouldBeFalse();
        _browser.Page.GetElementById(tagline.GetAttribute("aria-describedby")!)!.TextContent.ShouldBe("One line.");

        _browser.Field("About").LocalName.ShouldBe("textarea");
        _browser.Value("About").ShouldBe("\nfirst\nsecond");
        _browser.Field("Accent").GetAttribute("type").ShouldBe("color");
        _browser.Value("Accent").ShouldBe("#112233");
        _browser.Field("Home page").GetAttribute("inputmode").ShouldBe("url");
        var columns = _browser.Field("Columns");
        (columns.GetAttribute("type"), columns.GetAttribute("min"), columns.GetAttribute("max"), columns.GetAttribute("step"), columns.GetAttribute("value"))
            .ShouldBe(("number", "1", "6", "0.5", "2.5"));
        var prices = _browser.Field("Show prices");
        (prices.GetAttribute("type"), prices.HasAttribute("checked")).ShouldBe(("checkbox", true));
        var font = _browser.Field("Typeface");
        font.QuerySelectorAll("option").Select(option => (option.GetAttribute("value"), option.TextContent)).ShouldBe([("serif", "Serif"), ("sans", "Sans <i>")]);
        _browser.Value("Typeface").ShouldBe("sans");
        _browser.Field("Contact").HasAttribute("required").ShouldBeTrue();
    }

    [Fact]
    public async Task Input_is_stored_with_the_JSON_types_of_the_parameters()
    {
        var name = AddTemplate(EveryType());
        await _browser.OpenAsync($"/shops/new/{name}");
        var shopName = $"Typed {Guid.NewGuid():n}";
        _browser.Type("Shop name", shopName);
        _browser.Type("Tagline", "");
        _browser.Type("About", "\none\ntwo");
        _browser.Type("Accent", "#abcdef");
        _browser.Type("Home page", "/about");
        _browser.Type("Columns", "4.5");
        _browser.Type("Show prices", "false");
        _browser.Type("Typeface", "serif");
        _browser.Type("Contact", "hello@example.com");
        _browser.Type("Name", "Mug");
        _browser.Type("SKU", "M-1");
        _browser.Type("Price", "12.5");
        _browser.Type("Currency", "eur");
        _browser.Type("Description", "Blue.\nHolds 30 cl.");
        await _browser.PressAsync("Create shop");

        var shop = await ReadShopAsync();
        ((string)shop["name"]!).ShouldBe(shopName);
        JsonNode.DeepEquals(shop["settings"], new JsonObject
        {
            ["tagline"] = "",
            ["about"] = "\none\ntwo",
            ["accent"] = "#abcdef",
            ["home"] = "/about",
            ["columns"] = 4.5,
            ["prices"] = false,
            ["font"] = "serif",
            ["contact"] = "hello@example.com",
        }).ShouldBeTrue(shop["settings"]!.ToJsonString());
        var product = shop["products"]!.AsArray().ShouldHaveSingleItem()!;
        ((string)product["currency"]!).ShouldBe("EUR");
        product["price"]!.GetValue<decimal>().ShouldBe(12.5m);
        ((string)product["description"]!).ShouldBe("Blue.\nHolds 30 cl.");
        product.AsObject().ContainsKey("imageUrl").ShouldBeFalse();

        // The edit form shows the same input, including an unchecked checkbox and a leading line break.
        await _browser.FollowAsync("Edit");
        _browser.Value("About").ShouldBe("\none\ntwo");
        _browser.Value("Tagline").ShouldBe("");
        _browser.Field("Show prices").HasAttribute("checked").ShouldBeFalse();
        _browser.Value("Price").ShouldBe("12.50");
    }

    [Fact]
    public async Task Errors_are_shown_beside_their_fields_and_in_the_summary_and_the_input_is_kept()
    {
        var name = AddTemplate(EveryType());
        await _browser.OpenAsync($"/shops/new/{name}");
        _browser.Type("Shop name", "  ");
        _browser.Type("Address", "😀");
        _browser.Type("Columns", "9");
        _browser.Type("Contact", "<b>\"x'");
        _browser.Type("Home page", "javascript:alert(1)");
        _browser.Type("Show prices", "false");
        _browser.Type("Name", "Mug");
        _browser.Type("SKU", "A 1");
        _browser.Type("Price", "12,50");
        _browser.Type("Currency", "XXX");
        await _browser.PressAsync("Add product");
        _browser.Type("Name", "Second", 1);
        _browser.Type("SKU", "B", 1);
        _browser.Type("Price", "-1", 1);
        await _browser.PressAsync("Create shop", expected: HttpStatusCode.BadRequest);

        _browser.Title.ShouldStartWith("Error: ");
        _browser.ErrorOf("Shop name").ShouldBe("Error: Shop name must not be empty");
        _browser.ErrorOf("Address")!.ShouldContain("must be 1 to 63 characters");
        _browser.ErrorOf("Columns").ShouldBe("Error: Columns must be at most 6");
        _browser.ErrorOf("Home page")!.ShouldContain("must be an http or https address");
        _browser.ErrorOf("Contact").ShouldBeNull();
        _browser.ErrorOf("SKU")!.ShouldContain("must be 1 to 64 letters");
        _browser.ErrorOf("Price").ShouldBe("Error: Price must be a number such as 12.50");
        _browser.ErrorOf("Currency")!.ShouldContain("ISO 4217");
        _browser.ErrorOf("Price", 1).ShouldBe("Error: Price must be between 0 and 1000000000");
        _browser.ErrorOf("SKU", 1).ShouldBeNull();
        _browser.Field("SKU").GetAttribute("aria-invalid").ShouldBe("true");

        var summary = _browser.Page.GetElementById("errors")!;
        summary.HasAttribute("autofocus").ShouldBeTrue();
        summary.QuerySelectorAll("a").Select(ConsoleBrowser.TextOf).ShouldBe(
            ["Shop name", "Address", "Home page", "Columns", "Product 1: SKU", "Product 1: Currency", "Product 1: Price", "Product 2: Price", "Product 2: Currency"], ignoreOrder: true);
        summary.QuerySelectorAll("a").Select(ConsoleBrowser.TextOf).Take(4).ShouldBe(["Shop name", "Address", "Home page", "Columns"]);
        _browser.Page.GetElementById(summary.QuerySelectorAll("a")[1].GetAttribute("href")![1..]).ShouldBe(_browser.Field("Address"));

        _browser.Value("Address").ShouldBe("😀");
        _browser.Value("Contact").ShouldBe("<b>\"x'");
        _browser.Value("Home page").ShouldBe("javascript:alert(1)");
        _browser.Value("Price").ShouldBe("12,50");
        _browser.Field("Show prices").HasAttribute("checked").ShouldBeFalse();

        // Corrected, the same form is accepted.
        _browser.Type("Shop name", "Mended");
        _browser.Type("Address", "");
        _browser.Type("Columns", "2");
        _browser.Type("Home page", "");
        _browser.Type("SKU", "A1");
        _browser.Type("Price", "12.50");
        _browser.Type("Currency", "SEK");
        _browser.Type("Currency", "SEK", 1);
        _browser.Type("Price", "1", 1);
        await _browser.PressAsync("Create shop");
        (await ReadShopAsync())["products"]!.AsArray().Count.ShouldBe(2);
    }

    [Fact]
    public async Task Products_are_added_removed_and_moved_by_buttons()
    {
        await _browser.OpenAsync("/shops/new/aurora");
        _browser.Type("Shop name", $"Rows {Guid.NewGuid():n}");
        foreach (var (row, product) in ((string[])["One", "Two", "Three"]).Index())
        {
            _browser.Type("Name", product, row);
            _browser.Type("SKU", product, row);
            _browser.Type("Price", "1", row);
            await _browser.PressAsync("Add product");
            _browser.Field("Name", row + 1).HasAttribute("autofocus").ShouldBeTrue();
        }

        await _browser.PressAsync("Move up product 3");
        await _browser.PressAsync("Remove product 1");
        Enumerable.Range(0, 2).Select(row => _browser.Value("Name", row)).ShouldBe(["Three", "Two"]);

        // Removing a blank row, which is ignored anyway, removes no other row.
        await _browser.PressAsync("Add product");
        await _browser.PressAsync("Remove product 3");
        await _browser.PressAsync("Create shop");
        (await ReadShopAsync())["products"]!.AsArray().Select(product => (string)product!["name"]!).ShouldBe(["Three", "Two"]);
    }

    [Fact]
    public async Task A_shop_can_have_five_hundred_products()
    {
        var input = BackendHost.NewShop();
        input["products"] = new JsonArray([.. Enumerable.Range(1, 500).Select(i =>
            new JsonObject { ["sku"] = $"P{i}", ["name"] = $"Product number {i}", ["description"] = "Long enough to matter. ", ["price"] = i, ["currency"] = "EUR", ["imageUrl"] = $"/images/{i}.png" })]);
        using var created = await backend.Client.PostAsync("/api/shops", new StringContent(input.ToJsonString(), null, "application/json"));
        var shop = await created.ReadAsync(HttpStatusCode.Created);

        await _browser.OpenAsync($"/shops/{shop.Id()}/edit");
        _browser.Type("Shop name", "Five hundred");
        await _browser.PressAsync("Save changes");
        var saved = await ReadShopAsync();
        ((string)saved["name"]!).ShouldBe("Five hundred");
        JsonNode.DeepEquals(saved["products"], shop["products"]).ShouldBeTrue();
    }

    [Fact]
    public async Task An_empty_address_is_derived_from_the_name_and_a_taken_one_is_an_error_at_its_field()
    {
        var tag = Guid.NewGuid().ToString("n")[..8];
        await _browser.OpenAsync("/shops/new/aurora");
        _browser.Type("Shop name", $"Café {tag} & Söhne");
        await _browser.PressAsync("Create shop");
        ((string)(await ReadShopAsync())["slug"]!).ShouldBe($"cafe-{tag}-sohne");

        await _browser.OpenAsync("/shops/new/aurora");
        _browser.Type("Shop name", $"Café {tag} & Söhne");
        await _browser.PressAsync("Create shop", expected: HttpStatusCode.Conflict);
        _browser.ErrorOf("Address")!.ShouldContain("is already taken");
        _browser.Value("Address").ShouldBe($"cafe-{tag}-sohne");
    }

    [Fact]
    public async Task A_button_pressed_twice_creates_one_shop()
    {
        var tag = Guid.NewGuid().ToString("n")[..12];
        await _browser.OpenAsync("/shops/new/aurora");
        _browser.Type("Shop name", "Twice");
        _browser.Type("Address", $"twice-{tag}");
        var form = _browser.FormOf("Create shop");

        var answers = await Task.WhenAll(Enumerable.Range(0, 5).Select(_ => _browser.PostAsync(form)));
        answers.ShouldAllBe(answer => answer.StatusCode == HttpStatusCode.SeeOther);
        answers.Select(answer => answer.Headers.Location!.ToString()).Distinct().ShouldHaveSingleItem().ShouldStartWith("/shops/");

        // A new form has another idempotency key and finds the address taken.
        await _browser.OpenAsync("/shops/new/aurora");
        _browser.Type("Shop name", "Twice");
        _browser.Type("Address", $"twice-{tag}");
        await _browser.PressAsync("Create shop", expected: HttpStatusCode.Conflict);
    }

    [Fact]
    public async Task A_form_submitted_again_with_different_content_is_rejected()
    {
        await _browser.OpenAsync("/shops/new/aurora");
        _browser.Type("Shop name", $"First {Guid.NewGuid():n}");
        using var first = await _browser.PostAsync(_browser.FormOf("Create shop"));
        first.StatusCode.ShouldBe(HttpStatusCode.SeeOther);

        _browser.Type("Shop name", $"Second {Guid.NewGuid():n}");
        await _browser.PressAsync("Create shop", expected: HttpStatusCode.UnprocessableEntity);
        _browser.Text.ShouldContain("This form was already submitted with different content.");
    }

    [Theory]
    [InlineData("Sec-Fetch-Site", "cross-site")]
    [InlineData("Sec-Fetch-Site", "same-site")]
    [InlineData("Origin", "https://evil.example")]
    [InlineData("Origin", "null")]
    public async Task A_form_from_another_site_is_rejected(string header, string value)
    {
        var shop = await backend.CreateShopAsync();
        await _browser.OpenAsync($"/shops/{shop.Id()}/delete");
        using var foreign = new HttpClient(new SocketsHttpHandler { AllowAutoRedirect = false, UseCookies = false }) { BaseAddress = backend.Client.BaseAddress };
        using var request = new HttpRequestMessage(HttpMethod.Post, $"/shops/{shop.Id()}/delete") { Content = new FormUrlEncodedContent(_browser.FormOf("Delete shop").Fields) };
        request.Headers.Add("Cookie", _browser.Cookies.GetCookieHeader(backend.Client.BaseAddress!));
        request.Headers.Add(header, value);
        using var response = await foreign.SendAsync(request);

        await response.ReadProblemAsync(HttpStatusCode.Forbidden);
        await _browser.OpenAsync($"/shops/{shop.Id()}");
        _browser.HasButton("Deploy").ShouldBeTrue();
    }

    [Fact]
    public async Task A_form_from_the_console_is_accepted_by_its_Origin_header()
    {
        var shop = await backend.CreateShopAsync();
        await _browser.OpenAsync($"/shops/{shop.Id()}");
        using var client = new HttpClient(new SocketsHttpHandler { AllowAutoRedirect = false, UseCookies = false }) { BaseAddress = backend.Client.BaseAddress };
        using var request = new HttpRequestMessage(HttpMethod.Post, $"/shops/{shop.Id()}/deploy") { Content = new FormUrlEncodedContent(_browser.FormOf("Deploy").Fields) };
        request.Headers.Add("Cookie", _browser.Cookies.GetCookieHeader(backend.Client.BaseAddress!));
        request.Headers.Add("Origin", backend.Client.BaseAddress!.GetLeftPart(UriPartial.Authority));
        using var response = await client.SendAsync(request);
        response.StatusCode.ShouldBe(HttpStatusCode.SeeOther);
        response.Headers.Location!.ToString().ShouldBe($"/shops/{shop.Id()}");
    }

    [Fact]
    public async Task A_concurrent_change_is_shown_beside_the_users_input_and_saving_again_overwrites_it()
    {
        var shop = await backend.CreateShopAsync();
        using var other = new ConsoleBrowser(backend.Client.BaseAddress!);
        await _browser.OpenAsync($"/shops/{shop.Id()}/edit");
        await other.OpenAsync($"/shops/{shop.Id()}/edit");
        other.Type("Shop name", "Theirs");
        await other.PressAsync("Save changes");
        other.Text.ShouldContain("Your changes were saved.");

        _browser.Type("Shop name", "Mine");
        _browser.Type("Price", "13.00");
        await _browser.PressAsync("Save changes", expected: HttpStatusCode.PreconditionFailed);
        _browser.Text.ShouldContain("The shop was changed while you were editing it");
        _browser.Rows(".notice").ShouldBe(["Shop name | Theirs | Mine", "Product 1 | Mug (MUG-1), 12.50 EUR | Mug (MUG-1), 13.00 EUR"]);
        _browser.Value("Shop name").ShouldBe("Mine");
        using (var unchanged = await backend.Client.GetAsync($"/api/shops/{shop.Id()}"))
            ((string)(await unchanged.ReadAsync(HttpStatusCode.OK))["name"]!).ShouldBe("Theirs");

        await _browser.PressAsync("Save changes");
        ((string)(await ReadShopAsync())["name"]!).ShouldBe("Mine");
    }

    [Fact]
    public async Task A_shop_moves_to_another_version_of_its_template_with_the_fields_of_that_version()
    {
        var name = AddTemplate(EveryType());
        backend.Registry.Templates[name].Add(RegistryStub.Version(name, "2.0.0", parameters: new JsonArray(
            new JsonObject { ["name"] = "contact", ["type"] = "text", ["label"] = "Contact", ["required"] = true },
            new JsonObject { ["name"] = "opening", ["type"] = "text", ["label"] = "Opening hours", ["default"] = "9 to 5" })));
        await _browser.OpenAsync($"/shops/new/{name}?version=1.0.0");
        _browser.Type("Shop name", $"Moving {Guid.NewGuid():n}");
        _browser.Type("Contact", "kept");
        await _browser.PressAsync("Create shop");

        await _browser.FollowAsync("Edit");
        _browser.Type("Version", "2.0.0");
        await _browser.PressAsync("Use this version");
        _browser.Value("Contact").ShouldBe("kept");
        _browser.Value("Opening hours").ShouldBe("9 to 5");
        _browser.Text.ShouldNotContain("Tagline");
        await _browser.PressAsync("Save changes");

        var shop = await ReadShopAsync();
        ((string)shop["template"]!["version"]!).ShouldBe("2.0.0");
        shop["settings"]!.AsObject().Select(setting => setting.Key).ShouldBe(["contact", "opening"], ignoreOrder: true);
    }

    [Theory]
    [InlineData("Café Ünï & Söhne", "cafe-uni-sohne")]
    [InlineData("  Łódź — straße  ", "lodz-strasse")]
    [InlineData("Ben's Beans", "bens-beans")]
    [InlineData("100 % Wool!", "100-wool")]
    [InlineData("<script>alert(1)</script>", "script-alert-1-script")]
    [InlineData("花 🌸", "")]
    public void A_name_suggests_an_address(string name, string slug) => ShopForm.SlugOf(name).ShouldBe(slug);

    [Fact]
    public void A_long_name_suggests_an_address_that_is_not_too_long() =>
        ShopForm.SlugOf(new string('a', 49) + " " + new string('b', 50)).ShouldBe(new string('a', 49));

    /// <summary>The shop on whose page the browser is.</summary>
    private async Task<JsonObject> ReadShopAsync()
    {
        using var response = await backend.Client.GetAsync($"/api{_browser.Address.AbsolutePath}");
        return await response.ReadAsync(HttpStatusCode.OK);
    }

    private string AddTemplate(JsonArray parameters)
    {
        var name = $"t{Guid.NewGuid():n}"[..16];
        backend.Registry.Templates[name] = [RegistryStub.Version(name, "1.0.0", parameters: parameters)];
        return name;
    }

    private static JsonArray EveryType() => new(
        new JsonObject { ["name"] = "tagline", ["type"] = "text", ["label"] = "Tagline", ["description"] = "One line.", ["default"] = "Small & fine", ["minLength"] = 2, ["maxLength"] = 40 },
        new JsonObject { ["name"] = "about", ["type"] = "multiline", ["label"] = "About", ["default"] = "\nfirst\nsecond" },
        new JsonObject { ["name"] = "accent", ["type"] = "color", ["label"] = "Accent", ["default"] = "#112233" },
        new JsonObject { ["name"] = "home", ["type"] = "url", ["label"] = "Home page" },
        new JsonObject { ["name"] = "columns", ["type"] = "number", ["label"] = "Columns", ["min"] = 1, ["max"] = 6, ["step"] = 0.5, ["default"] = 2.5 },
        new JsonObject { ["name"] = "prices", ["type"] = "boolean", ["label"] = "Show prices", ["default"] = true },
        new JsonObject
        {
            ["name"] = "font",
            ["type"] = "choice",
            ["label"] = "Typeface",
            ["default"] = "sans",
            ["choices"] = new JsonArray(new JsonObject { ["value"] = "serif", ["label"] = "Serif" }, new JsonObject { ["value"] = "sans", ["label"] = "Sans <i>" }),
        },
        new JsonObject { ["name"] = "contact", ["type"] = "text", ["label"] = "Contact", ["required"] = true });
}
