using System.Buffers.Binary;
using System.IO.Compression;
using System.Security.Cryptography;
using System.Text;
using Platform.Templates;

namespace Platform.TemplateRegistry.Tests.Bundles;

public sealed class BundleReaderTests
{
    [Fact]
    public void A_valid_bundle_has_its_manifest_and_the_digest_of_its_bytes()
    {
        var zip = new TestBundle().Zip();
        var issues = new TemplateIssues();

        var bundle = BundleReader.Read(zip, issues);

        issues.Items.ShouldBeEmpty();
        bundle!.Manifest.Name.ShouldBe("tiny");
        bundle.Manifest.Pages.Count.ShouldBe(3);
        bundle.Manifest.Parameters.Count.ShouldBe(6);
        bundle.Digest.ToString().ShouldBe("sha256:" + Convert.ToHexStringLower(SHA256.HashData(zip)));
    }

    [Fact]
    public void Entries_for_folders_are_accepted() => new TestBundle().With("assets/", []).With("assets/css/", []).Issues().ShouldBe("");

    [Theory]
    [InlineData("../evil.css", "has .. in its path")]
    [InlineData("assets/../../evil.css", "has .. in its path")]
    [InlineData("assets/..", "has .. in its path")]
    [InlineData("/etc/passwd", "has an absolute path")]
    [InlineData("C:/windows/evil.css", "has an absolute path")]
    [InlineData("..\\evil.css", "has .. in its path")]
    [InlineData("\\etc\\passwd", "has an absolute path")]
    [InlineData("assets/./evil.css", "a part in its path that is empty")]
    [InlineData("assets//evil.css", "a part in its path that is empty")]
    [InlineData("assets/a.css.", "ends with a dot")]
    [InlineData("assets/ a.css", "begins or ends with a space")]
    [InlineData("assets/a:b.css", "has a character in its path")]
    [InlineData("assets/a?.css", "has a character in its path")]
    [InlineData("assets/a\0.css", "has a character in its path")]
    [InlineData("assets/a\n.css", "has a character in its path")]
    [InlineData("assets/a\u202Egpj.css", "has a character in its path")]
    [InlineData("evil.exe", "has no place in a bundle")]
    [InlineData("pages/evil.txt", "has no place in a bundle")]
    [InlineData("layout/theme.liquid", "has no place in a bundle")]
    [InlineData("pages/old.hbs", "is written in Handlebars")]
    [InlineData("assets/evil.exe", "is not of a type")]
    [InlineData("assets/page.html", "is not of a type")]
    [InlineData("assets/noextension", "is not of a type")]
    public void An_entry_with_an_invalid_path_is_refused(string path, string reason)
    {
        var issues = new TestBundle().With(path, "x").Issues();

        issues.ShouldStartWith($"{path}: ");
        issues.ShouldContain(reason);
    }

    [Fact]
    public void A_path_of_more_than_200_characters_is_refused() =>
        new TestBundle().With($"assets/{new string('a', 200)}.css", "x").Issues().ShouldContain("must have a path of 1 to 200 characters");

    [Fact]
    public void A_symbolic_link_is_refused() =>
        new TestBundle().With("assets/link.css", "/etc/passwd", unchecked((int)0xA1FF0000)).Issues().ShouldBe("assets/link.css: is a symbolic link");

    [Fact]
    public void A_device_is_refused() =>
        new TestBundle().With("assets/tty.css", "", 0x21B60000).Issues().ShouldBe("assets/tty.css: is neither a file nor a folder");

    [Fact]
    public void An_entry_marked_as_a_regular_file_is_accepted() =>
        new TestBundle().With("assets/a.css", "a{}", unchecked((int)0x81A40000)).Issues().ShouldBe("");

    [Theory]
    [InlineData("assets/css/store.css")]
    [InlineData("assets/css/STORE.css")]
    [InlineData("PAGES/index.liquid")]
    public void A_duplicate_path_is_refused(string path) =>
        new TestBundle().WithOneMore(path, "x"u8.ToArray()).Issues().ShouldContain($"{path}: is there twice");

    [Fact]
    public void An_encrypted_entry_is_refused()
    {
        var zip = new TestBundle().Zip();
        foreach (var header in Headers(zip))
            zip[header.Flags] |= 1;

        TestBundle.IssuesOf(zip).ShouldContain("pages/index.liquid: is encrypted");
    }

    [Fact]
    public void A_zip_bomb_is_refused_by_its_ratio() =>
        new TestBundle().With("assets/bomb.txt", new byte[15 * 1024 * 1024]).Issues()
            .ShouldBe("assets/bomb.txt: is more than 100 times larger than its compressed form");

    [Fact]
    public void Many_entries_that_together_inflate_to_more_than_100_MiB_are_refused()
    {
        var bundle = new TestBundle();
        for (var i = 0; i < 3; i++)
            bundle.With($"assets/{i}.txt", HalfCompressible(35 * 1024 * 1024 + i));

        bundle.Issues().ShouldBe("bundle: would be larger than 104857600 bytes when unzipped");
    }

    [Theory]
    [InlineData(10)]
    [InlineData(20_000)]
    public void A_zip_bomb_with_a_false_size_is_refused(int claimed)
    {
        var zip = new TestBundle().With("assets/bomb.txt", new byte[15 * 1024 * 1024]).Zip();
        foreach (var header in Headers(zip).Where(h => h.Name == "assets/bomb.txt"))
            BinaryPrimitives.WriteInt32LittleEndian(zip.AsSpan(header.Size), claimed);

        TestBundle.IssuesOf(zip).ShouldStartWith("assets/bomb.txt: ");
    }

    [Fact]
    public void A_zip_bomb_with_a_false_size_is_not_inflated()
    {
        var zip = new TestBundle().With("assets/bomb.txt", new byte[100 * 1024 * 1024]).Zip();
        foreach (var header in Headers(zip).Where(h => h.Name == "assets/bomb.txt"))
            BinaryPrimitives.WriteInt32LittleEndian(zip.AsSpan(header.Size), 1_000);
        var before = GC.GetAllocatedBytesForCurrentThread();

        TestBundle.IssuesOf(zip).ShouldNotBeEmpty();

        (GC.GetAllocatedBytesForCurrentThread() - before).ShouldBeLessThan(10 * 1024 * 1024);
    }

    [Fact]
    public void A_false_size_that_is_too_large_is_refused()
    {
        var zip = new TestBundle().Zip();
        foreach (var header in Headers(zip).Where(h => h.Name == "assets/css/store.css"))
            BinaryPrimitives.WriteInt32LittleEndian(zip.AsSpan(header.Size), 1_000);

        TestBundle.IssuesOf(zip).ShouldStartWith("assets/css/store.css: ");
    }

    [Fact]
    public void A_size_of_nearly_4_GiB_is_refused_before_memory_is_allocated_for_it()
    {
        var zip = new TestBundle().Zip();
        foreach (var header in Headers(zip))
            BinaryPrimitives.WriteUInt32LittleEndian(zip.AsSpan(header.Size), 0xFFFF_FFF0);

        TestBundle.IssuesOf(zip).ShouldBe("bundle: would be larger than 104857600 bytes when unzipped");
    }

    [Fact]
    public void More_than_5000_entries_are_refused()
    {
        var bundle = new TestBundle();
        for (var i = 0; i < 5_000; i++)
            bundle.WithOneMore($"assets/{i}.txt", []);

        bundle.Issues().ShouldBe("bundle: has more than 5000 entries");
    }

    [Fact]
    public void A_false_number_of_entries_is_refused()
    {
        var zip = new TestBundle().Zip();
        var end = zip.AsSpan().LastIndexOf("PK\u0005\u0006"u8);
        zip[end + 8] = zip[end + 10] = 1;

        TestBundle.IssuesOf(zip).ShouldStartWith("bundle: is not a zip file that can be read");
    }

    [Fact]
    public void A_corrupt_entry_is_refused()
    {
        var zip = new TestBundle().With("assets/stored.txt", RandomNumberGenerator.GetHexString(2_000)).Zip();
        var header = Headers(zip).First(h => h.Name == "assets/stored.txt");
        zip[header.Data + 700] ^= 0xFF;

        TestBundle.IssuesOf(zip).ShouldStartWith("assets/stored.txt: ");
    }

    [Theory]
    [InlineData("")]
    [InlineData("this is no zip")]
    [InlineData("PK\u0003\u0004 nor is this")]
    [InlineData("PK\u0005\u0006")]
    public void A_file_that_is_not_a_zip_is_refused(string content) => TestBundle.IssuesOf(Encoding.Latin1.GetBytes(content)).ShouldBe("bundle: is not a zip file");

    [Fact]
    public void An_empty_zip_is_refused_because_it_has_no_manifest()
    {
        using var stream = new MemoryStream();
        new ZipArchive(stream, ZipArchiveMode.Create, leaveOpen: true).Dispose();

        TestBundle.IssuesOf(stream.ToArray()).ShouldBe("template.json: is missing");
    }

    [Fact]
    public void A_folder_with_a_template_among_other_files_is_named_in_the_error()
    {
        var zip = new TestBundle().With("tiny/template.json", new TestBundle().Manifest.ToJsonString()).Zip(manifest: false);

        TestBundle.IssuesOf(zip).ShouldBe("template.json: is missing; there is tiny/template.json, but also files outside of that folder");
    }

    [Fact]
    public void A_bundle_within_a_bundle_is_refused() =>
        new TestBundle().With("assets/inner.zip", new TestBundle().Zip()).Issues().ShouldStartWith("assets/inner.zip: is not of a type");

    [Fact]
    public void A_template_source_that_is_not_text_is_refused()
    {
        new TestBundle().With("pages/index.liquid", [0xFF, 0xFE, 0x00]).Issues().ShouldStartWith("pages/index.liquid: is not UTF-8 text");
        new TestBundle().With("pages/index.liquid", "a\0b").Issues().ShouldStartWith("pages/index.liquid: is not UTF-8 text");
    }

    [Fact]
    public void All_invalid_entries_are_reported_together()
    {
        var issues = new TestBundle().With("../a.css", "x").With("/b.css", "x").With("c/../d.css", "x").Issues();

        issues.Split('\n').Length.ShouldBe(3);
    }

    [Fact]
    public void Randomly_changed_bytes_lead_to_issues_or_a_bundle_and_never_to_an_exception()
    {
        var random = new Random(20261122);
        var good = new TestBundle().Zip();
        var stillGood = 0;
        for (var round = 0; round < 3_000; round++)
        {
            var zip = good.ToArray();
            for (var changes = random.Next(1, 6); changes > 0; changes--)
                zip[random.Next(zip.Length)] = (byte)random.Next(256);
            if (round % 10 == 0)
                zip = zip[..random.Next(zip.Length)];

            // Also checks that there is either a bundle or an issue. Exceptions of the reader fail the test.
            if (TestBundle.IssuesOf(zip).Length == 0)
                stillGood++;
        }
        stillGood.ShouldBeLessThan(1_500);
    }

    /// <summary>Content that compresses to about half.</summary>
    private static byte[] HalfCompressible(int length)
    {
        var content = new byte[length];
        new Random(length).NextBytes(content);
        for (var i = 0; i < length; i++)
            content[i] = i % 64 < 48 ? (byte)'a' : (byte)('a' + content[i] % 26);
        return content;
    }

    private sealed record Header(string Name, int Flags, int Size, int Data);

    /// <summary>The offsets of flags, sizes and data in the local and central headers of entries.</summary>
    private static List<Header> Headers(byte[] zip)
    {
        var headers = new List<Header>();
        for (var at = 0; at + 4 < zip.Length; at++)
        {
            var signature = BinaryPrimitives.ReadUInt32LittleEndian(zip.AsSpan(at));
            if (signature == 0x04034b50)
            {
                var length = BinaryPrimitives.ReadUInt16LittleEndian(zip.AsSpan(at + 26));
                headers.Add(new(Encoding.UTF8.GetString(zip, at + 30, length), at + 6, at + 22, at + 30 + length));
            }
            else if (signature == 0x02014b50)
            {
                var length = BinaryPrimitives.ReadUInt16LittleEndian(zip.AsSpan(at + 28));
                headers.Add(new(Encoding.UTF8.GetString(zip, at + 46, length), at + 8, at + 24, 0));
            }
        }
        return headers;
    }
}
