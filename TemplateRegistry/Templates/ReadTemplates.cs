using System.Text.Json;
using Dapper;
using Npgsql;
using Platform.ServiceDefaults;
using Platform.ServiceDefaults.Postgres.Database;
using Platform.Templates;

namespace Platform.TemplateRegistry.Templates;

/// <summary>Reads templates and their versions.</summary>
internal sealed class ReadTemplates(PostgresDatabase database)
{
    /// <summary>
    /// Up to <paramref name="limit"/> templates after the name <paramref name="after"/>, by name, whose name, title or description contains
    /// <paramref name="search"/> (ignoring case).
    /// </summary>
    public Task<IReadOnlyList<Template>> ListAsync(string? search, string? after, int limit, CancellationToken cancellationToken) => ReadAsync(
        """
        where (@after::text is null or t.name > @after collate "C")
          and (@search::text is null
            or strpos(lower(t.name), lower(@search)) > 0
            or strpos(lower(v.title), lower(@search)) > 0
            or strpos(lower(v.description), lower(@search)) > 0)
        order by t.name
        limit @limit
        """, new { search, after, limit }, cancellationToken);

    /// <summary>One template; null if there is none of this name or all its versions are yanked.</summary>
    public async Task<Template?> FindAsync(string name, CancellationToken cancellationToken) =>
        (await ReadAsync("where t.name = @name", new { name }, cancellationToken)).SingleOrDefault();

    /// <summary>One version, whatever its status; null when there is none.</summary>
    public Task<TemplateVersion?> FindVersionAsync(string name, string version, CancellationToken cancellationToken) =>
        database.ReadAsync(connection => FindVersionAsync(connection, name, version, cancellationToken), cancellationToken);

    internal static async Task<TemplateVersion?> FindVersionAsync(
        NpgsqlConnection connection, string name, string version, CancellationToken cancellationToken) =>
        (await connection.QuerySingleOrDefaultAsync<VersionRow>(new CommandDefinition(
            """
            select v.name, v.version, v.digest, b.size, v.title, v.description, v.parameters::text as parameters, v.published_at, v.status
            from template_versions v
            join bundles b using (digest)
            where v.name = @name and v.version = @version
            """, new { name, version }, cancellationToken: cancellationToken)))?.ToVersion();

    private Task<IReadOnlyList<Template>> ReadAsync(string where, object parameters, CancellationToken cancellationToken) => database.ReadAsync<IReadOnlyList<Template>>(async connection =>
    {
        var rows = (await connection.QueryAsync<TemplateRow>(new CommandDefinition(
            $"""
            select t.name, v.title, v.description, t.latest_version, t.shops
            from templates t
            join template_versions v on v.name = t.name and v.version = t.listed_version
            {where}
            """, parameters, cancellationToken: cancellationToken))).AsList();
        var releases = (await connection.QueryAsync<ReleaseRow>(new CommandDefinition(
            """
            select name, version, digest, published_at, status
            from template_versions
            where name = any(@names) and status <> 'yanked'
            """, new { names = rows.ConvertAll(row => row.Name) }, cancellationToken: cancellationToken))).ToLookup(row => row.Name);
        return rows.ConvertAll(row => new Template(row.Name, row.Title, row.Description, row.Latest_Version, row.Shops,
            [.. releases[row.Name].OrderByDescending(r => r.Version, VersionPrecedence.Comparer)
                .Select(r => new TemplateRelease(r.Version, r.Digest, new DateTimeOffset(r.Published_At), Enum.Parse<TemplateStatus>(r.Status, ignoreCase: true)))]));
    }, cancellationToken);

    private sealed record TemplateRow(string Name, string Title, string Description, string? Latest_Version, int Shops);

    private sealed record ReleaseRow(string Name, string Version, string Digest, DateTime Published_At, string Status);

    private sealed record VersionRow(
        string Name, string Version, string Digest, int Size, string Title, string Description, string Parameters, DateTime Published_At, string Status)
    {
        public TemplateVersion ToVersion() => new(
            Name, Version, Digest, Size, Title, Description,
            JsonSerializer.Deserialize<IReadOnlyList<TemplateParameter>>(Parameters, PlatformJson.Tolerant)!,
            new DateTimeOffset(Published_At), Enum.Parse<TemplateStatus>(Status, ignoreCase: true));
    }
}
