using System.Net.Http.Json;
using System.Text.Json.Nodes;
using Microsoft.AspNetCore.Mvc.Testing;
using Platform.TemplateRegistry.BuiltIn;
using Platform.TemplateRegistry.Tests.Bundles;
using Platform.Templates;
using Platform.TestSupport;

namespace Platform.TemplateRegistry.Tests.BuiltIn;

public sealed class BuiltInTemplatesTests(PostgresServer server)
{
    [Fact]
    public void The_built_in_templates_are_valid()
    {
        foreach (var bundle in BuiltInTemplates.Pack())
        {
            TestBundle.IssuesOf(bundle.Zip).ShouldBe("");
            bundle.Manifest.Pages.Select(p => p.Path).ShouldContain("products/{slug}/index.html");
        }
    }

    [Fact]
    public void Packing_is_deterministic() =>
        BuiltInTemplates.Pack().Select(b => b.Digest).ShouldBe(BuiltInTemplates.Pack().Select(b => b.Digest));

    [Fact]
    public void Every_file_in_the_folders_is_packed_under_its_own_path()
    {
        var folder = Path.Combine(RepositoryRoot.Path, "TemplateRegistry", "BuiltIn");

        BuiltInTemplates.Pack().Select(b => b.Manifest.Name).ShouldBe(Directory.GetDirectories(folder).Select(Path.GetFileName).Order(StringComparer.Ordinal));
        foreach (var bundle in BuiltInTemplates.Pack())
        {
            var files = Path.Combine(folder, bundle.Manifest.Name);
            Texts(bundle).Keys.ShouldBe(Directory.EnumerateFiles(files, "*", SearchOption.AllDirectories).Select(f => Path.GetRelativePath(files, f).Replace('\\', '/')), ignoreOrder: true);
        }
    }

    [Fact]
    public void Built_in_templates_load_nothing_from_other_hosts_and_have_no_inline_scripts()
    {
        foreach (var (entry, text) in BuiltInTemplates.Pack().SelectMany(Texts))
        {
            text.Replace("https://schema.org", "", StringComparison.Ordinal).Replace("http://www.w3.org/2000/svg", "", StringComparison.Ordinal).ShouldNotContain("://", customMessage: entry);
            text.Replace("<script type=\"application/ld+json\">", "", StringComparison.Ordinal).Replace("<script src=\"{{ 'js/", "", StringComparison.Ordinal)
                .ShouldNotContain("<script", customMessage: entry);
        }
    }

    [Fact]
    public void The_style_sheets_of_built_in_templates_are_small()
    {
        foreach (var (entry, text) in BuiltInTemplates.Pack().SelectMany(Texts).Where(file => file.Key.EndsWith(".css", StringComparison.Ordinal)))
            text.Length.ShouldBeLessThanOrEqualTo(25_000, entry);
    }

    [Fact]
    public void Built_in_templates_have_the_same_words_in_every_language()
    {
        var words = BuiltInTemplates.Pack().Select(bundle => Texts(bundle)["partials/text.liquid"]).Distinct().ShouldHaveSingleItem();

        var keys = words.Split("{%- when '").Skip(1).Select(part => part.Split('\'')[0]).ToLookup(key => key.Length == 2);
        keys[false].ShouldBeUnique();
        keys[true].CountBy(language => language).ShouldBe(
            new[] { "ar", "de", "es", "fr", "he", "ja" }.Select(language => KeyValuePair.Create(language, keys[false].Count())), ignoreOrder: true);
        foreach (var (entry, text) in BuiltInTemplates.Pack().SelectMany(Texts))
        {
            foreach (var key in text.Split("{% render 'text', key: '").Skip(1).Select(part => part.Split('\'')[0]))
                keys[false].ShouldContain(key, entry);
        }
    }

    [Fact]
    public async Task Replicas_starting_concurrently_publish_them_once_and_later_ones_change_nothing()
    {
        await using var database = await TestDatabase.CreateAsync(server);
        var replicas = await Task.WhenAll(Enumerable.Range(0, 3).Select(_ => Task.Run(() => RunningRegistry.Start(database.ConnectionString))));
        try
        {
            foreach (var replica in replicas)
                await CheckAsync(replica);
        }
        finally
        {
            foreach (var replica in replicas)
                await replica.DisposeAsync();
        }

        var publishedAt = await PublishedAtAsync(database);
        await using var later = RunningRegistry.Start(database.ConnectionString);
        await CheckAsync(later);
        (await PublishedAtAsync(database)).ShouldBe(publishedAt);

        static async Task CheckAsync(WebApplicationFactory<Program> replica)
        {
            using var client = RunningRegistry.ConnectAsService(replica);
            await RunningRegistry.WaitUntilReadyAsync(client);
            var template = await client.GetFromJsonAsync<JsonObject>("/templates/aurora");
            template!["versions"]!.AsArray().Count.ShouldBe(1);
            template["versions"]![0]!["digest"]!.GetValue<string>().ShouldBe(BuiltInTemplates.Pack().Single(b => b.Manifest.Name == "aurora").Digest.ToString());
        }
    }

    [Fact]
    public async Task A_published_version_is_not_replaced_by_a_build_with_different_content()
    {
        await using var database = await TestDatabase.CreateAsync(server);
        var published = BundleReader.Read(new TestBundle("aurora", "2.0.0").Zip(), new TemplateIssues())!;
        await using (var first = RunningRegistry.Start(database.ConnectionString))
        {
            using var client = RunningRegistry.Connect(first);
            await RunningRegistry.WaitUntilReadyAsync(client);
        }
        await ExecuteAsync(database, "insert into bundles (digest, content) values (@digest, @content)", published);
        await ExecuteAsync(database, "update template_versions set digest = @digest where name = 'aurora'", published);

        await using var second = RunningRegistry.Start(database.ConnectionString);
        using var reader = RunningRegistry.ConnectAsService(second);
        await RunningRegistry.WaitUntilReadyAsync(reader);

        (await reader.GetFromJsonAsync<JsonObject>("/templates/aurora/versions/2.0.0"))!["digest"]!.GetValue<string>().ShouldBe(published.Digest.ToString());
    }

    private static Dictionary<string, string> Texts(TemplateBundle bundle)
    {
        using var archive = new System.IO.Compression.ZipArchive(new MemoryStream(bundle.Zip));
        return archive.Entries.ToDictionary(entry => entry.FullName, entry =>
        {
            using var reader = new StreamReader(entry.Open());
            return reader.ReadToEnd();
        });
    }

    private static async Task<object?> PublishedAtAsync(TestDatabase database)
    {
        await using var command = database.DataSource.CreateCommand("select published_at from template_versions where name = 'aurora'");
        return await command.ExecuteScalarAsync();
    }

    private static async Task ExecuteAsync(TestDatabase database, string sql, TemplateBundle bundle)
    {
        await using var command = database.DataSource.CreateCommand(sql);
        command.Parameters.AddWithValue("digest", bundle.Digest.ToString());
        if (sql.Contains("@content", StringComparison.Ordinal))
            command.Parameters.AddWithValue("content", bundle.Zip);
        (await command.ExecuteNonQueryAsync()).ShouldBe(1);
    }
}
