using System.Globalization;
using Aspire.Hosting;
using Aspire.Hosting.ApplicationModel;
using Microsoft.Extensions.Configuration;
using Platform.AppHost.Running;

namespace Platform.AppHost.Postgres;

/// <summary>The PostgreSQL server of the platform, wherever it runs.</summary>
internal sealed class DatabaseServer(Func<string, string, IResourceBuilder<IResourceWithConnectionString>> addDatabase)
{
    /// <summary>Adds a database that exists before the resource is healthy.</summary>
    /// <param name="name">Name of the resource and of the connection string.</param>
    /// <param name="databaseName">Name of the database on the server.</param>
    public IResourceBuilder<IResourceWithConnectionString> AddDatabase(string name, string databaseName) => addDatabase(name, databaseName);
}

internal static class DatabaseServerExtensions
{
    /// <summary>
    /// Adds PostgreSQL: in run mode a local process or a container, as <see cref="DatabaseChoice"/> decides; when publishing always a container.
    /// </summary>
    public static DatabaseServer AddDatabaseServer(this IDistributedApplicationBuilder builder, string name)
    {
        var password = builder.AddParameter($"{name}-password",
            new GenerateParameterDefault { MinLength = 32, Special = false }, secret: true, persist: true);

        var data = builder.DataDirectory();
        if (builder.ExecutionContext.IsPublishMode || DatabaseChoice.Make(data, builder.Configuration["Database"]) is DatabaseKind.Container)
        {
            var container = builder.AddPostgres(name, password: password).WithDataVolume();
            return new((database, databaseName) => container.AddDatabase(database, databaseName));
        }

        var port = builder.Configuration["DatabasePort"] is { } configured ? int.Parse(configured, CultureInfo.InvariantCulture) : (int?)null;
        var local = builder.AddLocalPostgres(name, password, Path.Combine(data, "postgres"), port);
        return new((database, databaseName) => local.AddDatabase(database, databaseName));
    }
}
