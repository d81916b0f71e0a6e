using System.IO.Compression;
using System.Text;
using Platform.Templates;

namespace Platform.TemplateRegistry.Tests.Bundles;

/// <summary>Bundles as people make them: zipped by file managers, exported from repositories, written with editors of all kinds.</summary>
public sealed class UploadedBundleTests
{
    private const string Mark = "\uFEFF";

    [Fact]
    public void A_bundle_that_needs_no_change_keeps_its_bytes()
    {
        var zip = new TestBundle().Zip();

        BundleReader.Read(zip, new TemplateIssues())!.Zip.ShouldBe(zip);
    }

    [Theory]
    [InlineData("__MACOSX/._template.json")]
    [InlineData("__MACOSX/assets/css/._store.css")]
    [InlineData(".DS_Store")]
    [InlineData("assets/.DS_Store")]
    [InlineData("assets/._store.css")]
    [InlineData("assets/img/Thumbs.db")]
    [InlineData("desktop.ini")]
    [InlineData(".gitignore")]
    [InlineData(".github/workflows/ci.yml")]
    [InlineData("README.md")]
    [InlineData("readme.txt")]
    [InlineData("README")]
    [InlineData("LICENSE")]
    [InlineData("LICENSE.md")]
    [InlineData("CHANGELOG.md")]
    [InlineData("package.json")]
    [InlineData("package-lock.json")]
    [InlineData("node_modules/left-pad/index.js")]
    public void Files_that_systems_and_authors_leave_in_folders_are_ignored(string path)
    {
        var files = Accepted(new TestBundle().With(path, [0, 1, 2, 0xFF]).Zip());

        files.Keys.ShouldBe(Accepted(new TestBundle().Zip()).Keys, ignoreOrder: true);
    }

    [Fact]
    public void Bundles_that_differ_in_ignored_files_only_have_one_digest()
    {
        var one = BundleReader.Read(new TestBundle().With(".DS_Store", "1").Zip(), new TemplateIssues())!;
        var other = BundleReader.Read(new TestBundle().With("README.md", "2").With("__MACOSX/._x", "3").Zip(), new TemplateIssues())!;

        one.Digest.ShouldBe(other.Digest);
    }

    [Fact]
    public void A_folder_around_everything_is_removed()
    {
        var files = Accepted(Renamed(new TestBundle().With("LICENSE", "MIT"), path => "my theme-main/" + path));

        files.Keys.ShouldBe(Accepted(new TestBundle().Zip()).Keys, ignoreOrder: true);
    }

    [Fact]
    public void A_folder_around_everything_is_removed_although_macOS_added_files_beside_it()
    {
        var zip = Renamed(new TestBundle(), path => "theme/" + path, ("__MACOSX/theme/._template.json", "x"), (".DS_Store", "x"));

        Accepted(zip).ShouldContainKey("template.json");
    }

    [Fact]
    public void Backslashes_of_old_Windows_programs_are_slashes()
    {
        var files = Accepted(Renamed(new TestBundle(), path => path.Replace('/', '\\')));

        files.ShouldContainKey("assets/css/store.css");
        files.ShouldContainKey("pages/index.liquid");
    }

    [Fact]
    public void A_byte_order_mark_is_accepted_in_every_text_file()
    {
        var bundle = new TestBundle();
        bundle.With("template.json", Mark + bundle.Manifest.ToJsonString()).With("pages/index.liquid", Mark + "<!doctype html><title>{{ shop.name }}</title>")
            .With("partials/card.liquid", Mark + "x").With("assets/a.css", Mark + "a{}").With("assets/a.js", Mark + "1").With("assets/a.json", Mark + "{}").With("assets/a.svg", Mark + "<svg xmlns=\"http://www.w3.org/2000/svg\"/>");

        bundle.Issues().ShouldBe("");
    }

    [Theory]
    [InlineData("assets/img/Größe M.png")]
    [InlineData("assets/img/写真 (1).png")]
    [InlineData("assets/img/it's + that & this, really [v2].png")]
    [InlineData("assets/img/LOGO.PNG")]
    [InlineData("pages/Über uns.liquid")]
    [InlineData("partials/Cards/Product Card.liquid")]
    public void Names_with_spaces_and_letters_of_any_language_are_accepted(string path)
    {
        byte[] content = path.EndsWith("g", StringComparison.OrdinalIgnoreCase) ? [0x89, .. "PNG\r\n"u8, 0x1A, 0x0A] : [.. "x"u8];

        Accepted(new TestBundle().With(path, content).Zip()).ShouldContainKey(path);
    }

    [Fact]
    public void The_decomposed_letters_of_macOS_are_composed()
    {
        var decomposed = "assets/Gro\u0308\u00DFe.css";

        Accepted(new TestBundle().With(decomposed, "a{}").WithIndex("<link rel=\"stylesheet\" href=\"{{ 'Größe.css' | asset_url }}\">").Zip()).ShouldContainKey("assets/Größe.css");
    }

    [Fact]
    public void Partials_in_folders_are_accepted() =>
        Accepted(new TestBundle().With("partials/cards/product.liquid", "x").WithIndex("{% render 'cards/product' %}").Zip()).ShouldContainKey("partials/cards/product.liquid");

    [Theory]
    [InlineData("a.mp4", new byte[] { 0, 0, 0, 0x20, (byte)'f', (byte)'t', (byte)'y', (byte)'p', (byte)'i', (byte)'s', (byte)'o', (byte)'m' })]
    [InlineData("a.webm", new byte[] { 0x1A, 0x45, 0xDF, 0xA3 })]
    [InlineData("a.pdf", new byte[] { (byte)'%', (byte)'P', (byte)'D', (byte)'F', (byte)'-' })]
    [InlineData("a.woff", new byte[] { (byte)'w', (byte)'O', (byte)'F', (byte)'F' })]
    [InlineData("a.ttf", new byte[] { 0, 1, 0, 0 })]
    [InlineData("a.otf", new byte[] { (byte)'O', (byte)'T', (byte)'T', (byte)'O' })]
    [InlineData("a.xml", new byte[] { (byte)'<', (byte)'a', (byte)'/', (byte)'>' })]
    [InlineData("a.js.map", new byte[] { (byte)'{', (byte)'}' })]
    public void Media_fonts_and_source_maps_are_accepted(string name, byte[] content)
    {
        Accepted(new TestBundle().With("assets/" + name, content).Zip()).ShouldContainKey("assets/" + name);

        // The content decides, not the name.
        new TestBundle().With("assets/" + name, "something else"u8.ToArray()).Issues().ShouldStartWith($"assets/{name}: is not");
    }

    [Theory]
    [InlineData("<?xml-stylesheet href=\"a.xsl\"?><a/>", "processing instruction")]
    [InlineData("<html xmlns=\"http://www.w3.org/1999/xhtml\"><body/></html>", "elements of HTML or SVG")]
    [InlineData("<a><svg xmlns=\"http://www.w3.org/2000/svg\"/></a>", "elements of HTML or SVG")]
    public void Xml_that_could_run_scripts_is_refused(string xml, string reason) => new TestBundle().With("assets/a.xml", xml).Issues().ShouldContain(reason);

    [Fact]
    public void Five_thousand_entries_are_accepted()
    {
        var bundle = new TestBundle();
        var others = Accepted(bundle.Zip()).Count;
        for (var i = others; i < 5_000; i++)
            bundle.WithOneMore($"assets/{i}.txt", []);

        Accepted(bundle.Zip()).Count.ShouldBe(5_000);
    }

    [Theory]
    [InlineData("<script src=\"https://cdn.example/a.js\"></script>", "<script> loads https://cdn.example/a.js")]
    [InlineData("<script async src='//cdn.example/a.js'></script>", "<script> loads //cdn.example/a.js")]
    [InlineData("<script>let a = 1;</script>", "has an inline script")]
    [InlineData("<link rel=\"stylesheet\" href=\"https://fonts.example/css?family=A\">", "<link> loads https://fonts.example/css?family=A")]
    [InlineData("<link href=\"https://fonts.example/css\" rel=stylesheet>", "<link> loads https://fonts.example/css")]
    [InlineData("<iframe src=\"https://video.example/1\"></iframe>", "<iframe> loads https://video.example/1")]
    [InlineData("<button onclick=\"go()\">x</button>", "has the event handler onclick")]
    public void What_browsers_will_block_is_a_warning_with_its_line(string html, string warning)
    {
        var bundle = BundleReader.Read(new TestBundle().WithIndex("<p>\n" + html).Zip(), new TemplateIssues())!;

        var found = bundle.Warnings.ShouldHaveSingleItem();
        (found.Entry, found.Line).ShouldBe(("pages/index.liquid", 2));
        found.Reason.ShouldStartWith(warning);
    }

    [Theory]
    [InlineData("<script src=\"{{ 'css/store.css' | asset_url }}\"></script>")]
    [InlineData("<script type=\"application/ld+json\">{}</script>")]
    [InlineData("<link rel=\"canonical\" href=\"https://shop.example/\"><a href=\"https://other.example/\">x</a>")]
    [InlineData("<img src=\"https://pictures.example/a.jpg\" alt=\"\">")]
    public void What_browsers_allow_is_no_warning(string html) => BundleReader.Read(new TestBundle().WithIndex(html).Zip(), new TemplateIssues())!.Warnings.ShouldBeEmpty();

    [Fact]
    public void A_style_sheet_that_loads_from_another_host_is_a_warning() =>
        BundleReader.Read(new TestBundle().With("assets/a.css", "a{}\n@import url(https://fonts.example/a.css);\nb{background:url(b.png)}").Zip(), new TemplateIssues())!
            .Warnings.ShouldHaveSingleItem().ToString().ShouldStartWith("line 2: loads https://fonts.example/a.css, which browsers will block");

    private static Dictionary<string, byte[]> Accepted(byte[] zip)
    {
        TestBundle.IssuesOf(zip).ShouldBe("");
        var stored = BundleReader.Read(zip, new TemplateIssues())!.Zip;
        var files = BundleArchive.Read(stored, new TemplateIssues(), out var exact)!;
        exact.ShouldBeTrue("what is stored needs no further change");
        return files;
    }

    private static byte[] Renamed(TestBundle bundle, Func<string, string> rename, params (string Path, string Content)[] more)
    {
        using var original = new ZipArchive(new MemoryStream(bundle.Zip()));
        using var stream = new MemoryStream();
        using (var archive = new ZipArchive(stream, ZipArchiveMode.Create, leaveOpen: true))
        {
            foreach (var entry in original.Entries)
            {
                using var source = entry.Open();
                using var target = archive.CreateEntry(rename(entry.FullName)).Open();
                source.CopyTo(target);
            }
            foreach (var (path, content) in more)
            {
                using var target = archive.CreateEntry(path).Open();
                target.Write(Encoding.UTF8.GetBytes(content));
            }
        }
        return stream.ToArray();
    }
}
